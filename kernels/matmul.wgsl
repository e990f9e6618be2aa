// matmul: y[n,i,j] = scale * sum over k of a[n,i,k] * b[n,k,j].
//
// Layout: a [batch, M, K], b [batch, K, N], y [batch, M, N], rows first. The batch has up to four dimensions, in which a's and
// b's matrices are found by strides, 0 where they are broadcast.
// Threads: one per output element, in the order of (n, i, j).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  m: u32,
  n: u32,
  k: u32,
  scale: f32,
  size1: u32, size2: u32, size3: u32, // of the batch
  a0: u32, a1: u32, a2: u32, a3: u32, // strides, in elements
  b0: u32, b1: u32, b2: u32, b3: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Real>;
@group(0) @binding(1) var<storage, read> b: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let j = index % params.n;
  let i = index / params.n % params.m;
  let batch = index / (params.n * params.m);
  let p3 = batch % params.size3;
  let p2 = batch / params.size3 % params.size2;
  let p1 = batch / (params.size3 * params.size2) % params.size1;
  let p0 = batch / (params.size3 * params.size2 * params.size1);
  let a_first = p0 * params.a0 + p1 * params.a1 + p2 * params.a2 + p3 * params.a3 + i * params.k;
  let b_first = p0 * params.b0 + p1 * params.b1 + p2 * params.b2 + p3 * params.b3 + j;
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) {
    sum += f32(a[a_first + k]) * f32(b[b_first + k * params.n]);
  }
  y[index] = Real(params.scale * sum);
}
