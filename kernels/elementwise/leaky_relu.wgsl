// leaky_relu: y = x where x is positive, else negativeSlope * x. NaN stays.
//
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  negativeSlope: f32,
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
  let v = f32(x[index]);
  let is_negative = (bitcast<u32>(v) & 0x80000000u) != 0;
  y[index] = Real(v * select(1.0, params.negativeSlope, is_negative));
}
