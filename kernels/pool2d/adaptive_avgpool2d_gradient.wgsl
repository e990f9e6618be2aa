// adaptive_avgpool2d_gradient: dx[n,c,row,column] = sum over the windows that it is in of dy / their elements.
//
// Window i has the rows floor(i H / H') .. ceil((i + 1) H / H') - 1; columns alike.
// Layout: NCHW, with N and C as one dimension "planes"; y is dx.
// Threads: one per element of dx, in the order of (plane, row, column).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // elements of dx
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let at = vec2u(index / params.x_width % params.x_height, index % params.x_width);
  let plane = index / (params.x_width * params.x_height);
  let x_size = vec2u(params.x_height, params.x_width);
  let y_size = vec2u(params.y_height, params.y_width);
  let first = at * y_size / x_size;
  let last = ((at + 1) * y_size - 1) / x_size;
  var sum = 0.0;
  for (var i = first.x; i <= last.x; i++) {
    for (var j = first.y; j <= last.y; j++) {
      let window = ((vec2u(i, j) + 1) * x_size + y_size - 1) / y_size - vec2u(i, j) * x_size / y_size;
      sum += f32(dy[(plane * params.y_height + i) * params.y_width + j]) / f32(window.x * window.y);
    }
  }
  y[index] = Real(sum);
}
