// pad: y = x with a constant around it, or with less of it.
//
// Layout: NCHW, with N and C as one dimension "planes".
// Threads: one per output element, in the order of (plane, i, j).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  top: i32, left: i32,
  value: f32,
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
  // Left of and above the image these wrap around to large numbers, which fail the test below, too.
  let column = index % params.y_width - u32(params.left);
  let row = index / params.y_width % params.y_height - u32(params.top);
  let plane = index / (params.y_width * params.y_height);
  var v = params.value;
  if (row < params.x_height && column < params.x_width) {
    v = f32(x[(plane * params.x_height + row) * params.x_width + column]);
  }
  y[index] = Real(v);
}
