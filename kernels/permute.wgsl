// permute: y = x with its dimensions in another order.
//
// Layout: y in six dimensions, since those that stay side by side are joined; x is read by strides.
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  size1: u32, size2: u32, size3: u32, size4: u32, size5: u32, // of y
  x0: u32, x1: u32, x2: u32, x3: u32, x4: u32, x5: u32, // strides of x along the dimensions of y
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
  let q4 = index / params.size5;
  let q3 = q4 / params.size4;
  let q2 = q3 / params.size3;
  var from_x = index % params.size5 * params.x5 + q4 % params.size4 * params.x4 + q3 % params.size3 * params.x3;
  let q1 = q2 / params.size2;
  let q0 = q1 / params.size1;
  from_x += q2 % params.size2 * params.x2 + q1 % params.size1 * params.x1 + q0 * params.x0;
  y[index] = x[from_x];
}
