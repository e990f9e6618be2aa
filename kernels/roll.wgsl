// roll: y[p] = x[p - shift], around the ends of every dimension.
//
// Layout: four dimensions, since neighbours that are not shifted are joined; x and y alike.
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  size0: u32, size1: u32, size2: u32, size3: u32,
  from0: u32, from1: u32, from2: u32, from3: u32, // where x is read for y's first element: size - shift
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
  let q2 = index / params.size3;
  let q1 = q2 / params.size2;
  let p0 = (q1 / params.size1 + params.from0) % params.size0;
  let p1 = (q1 + params.from1) % params.size1;
  let p2 = (q2 + params.from2) % params.size2;
  let p3 = (index + params.from3) % params.size3;
  y[index] = x[((p0 * params.size1 + p1) * params.size2 + p2) * params.size3 + p3];
}
