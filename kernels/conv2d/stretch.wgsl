// stretch: y[n,c,i s,j t] = x[n,c,i,j], and 0 between: what a stride leaves out of a gradient.
//
// Layout: NCHW, with N and C as one dimension "planes".
// Threads: one per element of y, in the order of (plane, row, column).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  stride_height: u32, stride_width: u32,
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
  let column = index % params.y_width;
  let row = index / params.y_width % params.y_height;
  let plane = index / (params.y_width * params.y_height);
  let i = row / params.stride_height;
  let j = column / params.stride_width;
  let is_there = i * params.stride_height == row && j * params.stride_width == column && i < params.x_height && j < params.x_width;
  y[index] = select(Real(), x[(plane * params.x_height + i) * params.x_width + j], is_there);
}
