// expand: y = scale * x, stretched along dimensions where x has the size 1.
//
// Layout: four dimensions, since those that are stretched alike are joined; x is read by strides, 0 where it is stretched.
// Threads: one per output element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  size1: u32, size2: u32, size3: u32, // of y
  x0: u32, x1: u32, x2: u32, x3: u32, // strides
  scale: f32,
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
  let p3 = index % params.size3;
  let p2 = index / params.size3 % params.size2;
  let p1 = index / (params.size3 * params.size2) % params.size1;
  let p0 = index / (params.size3 * params.size2 * params.size1);
  y[index] = Real(params.scale * f32(x[p0 * params.x0 + p1 * params.x1 + p2 * params.x2 + p3 * params.x3]));
}
