// matmul: y[n,i,j] = sum over k of a[n,i,k] * b[n,k,j].
//
// Layout: a [batch, M, K], b [batch, K, N], y [batch, M, N], rows first; a or b may be one matrix for the whole batch.
// Threads: one per output element, in the order of (n, i, j).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  m: u32,
  n: u32,
  k: u32,
  a_stride: u32, // elements from one matrix to the next; 0 if there is one for all
  b_stride: u32,
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
  let a_first = batch * params.a_stride + i * params.k;
  let b_first = batch * params.b_stride + j;
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) {
    sum += f32(a[a_first + k]) * f32(b[b_first + k * params.n]);
  }
  y[index] = Real(sum);
}
