// flip_filters: the filters of the convolution that takes gradients back: y[c,o,k,l] = x[o,c,i + s (KH'-1-k),j + t (KW'-1-l)],
// of every s-th row from the i-th on, and every t-th column from the j-th.
//
// Layout: x is O,C,KH,KW, y is C,O,KH',KW'.
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  outputs: u32, inputs: u32, // channels per group, O / groups and C
  x_area: u32,
  y_height: u32, y_width: u32,
  last: i32, // the place of y's first element in a filter of x
  step_height: i32, step_width: i32, // from there back to those of its next row and column
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
  let l = i32(index % params.y_width);
  let k = i32(index / params.y_width % params.y_height);
  let plane = index / (params.y_width * params.y_height);
  let o = plane % params.outputs;
  let c = plane / params.outputs;
  let out = c / params.inputs * params.outputs + o;
  let place = params.last + k * params.step_height + l * params.step_width;
  y[index] = x[(out * params.inputs + c % params.inputs) * params.x_area + u32(place)];
}
