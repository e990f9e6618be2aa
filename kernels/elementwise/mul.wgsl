// mul: y = a * b with broadcasting.
//
// Layout: four dimensions, since those that are stretched alike are joined; a and b are read by strides, 0 where they are
// broadcast.
// Threads: one per output element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four numbers: see kernels/vectors.ts
alias Value = f32;

struct Params {
  count: u32,
  size1: u32, size2: u32, size3: u32, // of y
  a0: u32, a1: u32, a2: u32, a3: u32, // strides
  b0: u32, b1: u32, b2: u32, b3: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Element>;
@group(0) @binding(1) var<storage, read> b: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

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
  let left = Value(a[p0 * params.a0 + p1 * params.a1 + p2 * params.a2 + p3 * params.a3]);
  let right = Value(b[p0 * params.b0 + p1 * params.b1 + p2 * params.b2 + p3 * params.b3]);
  y[index] = Element(left * right);
}
