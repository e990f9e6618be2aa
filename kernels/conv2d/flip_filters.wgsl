// flip_filters: the filters of the convolution that takes gradients back: y[c,o,k,l] = x[o,c,KH-1-k,KW-1-l].
//
// Layout: x is O,C,area, y is C,O,area: a filter turned by half a turn is its elements in reverse.
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  outputs: u32, inputs: u32, // channels per group, O / groups and C
  area: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let k = index % params.area;
  let o = index / params.area % params.outputs;
  let c = index / (params.area * params.outputs);
  let out = c / params.inputs * params.outputs + o;
  y[index] = x[(out * params.inputs + c % params.inputs) * params.area + params.area - 1 - k];
}
