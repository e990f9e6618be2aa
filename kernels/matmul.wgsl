// matmul: y[n,i,j] = scale * sum over k of a[n,i,k] * b[n,k,j].
//
// Layout: a [batch, M, K], b [batch, K, N], y [batch, M, N], rows first. The batch has up to four dimensions, in which a's and
// b's matrices are found by strides, 0 where they are broadcast.
// Threads: one per block of 4 x 4 output elements, in the order of (n, i, j): each value that it loads is used four times.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // blocks
  m: u32,
  n: u32,
  k: u32,
  scale: f32,
  size1: u32, size2: u32, size3: u32, // of the batch
  a0: u32, a1: u32, a2: u32, a3: u32, // strides, in matrices
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
  let across = (params.n + 3) / 4;
  let down = (params.m + 3) / 4;
  // What stands over an edge is computed from the last row or column, and not stored.
  let columns = index % across * 4 + vec4u(0, 1, 2, 3);
  let rows = index / across % down * 4 + vec4u(0, 1, 2, 3);
  let batch = index / (across * down);
  let p3 = batch % params.size3;
  let p2 = batch / params.size3 % params.size2;
  let p1 = batch / (params.size3 * params.size2) % params.size1;
  let p0 = batch / (params.size3 * params.size2 * params.size1);
  let left_matrix = p0 * params.a0 + p1 * params.a1 + p2 * params.a2 + p3 * params.a3;
  let right_matrix = p0 * params.b0 + p1 * params.b1 + p2 * params.b2 + p3 * params.b3;
  var from_a = (left_matrix * params.m + min(rows, vec4u(params.m - 1))) * params.k;
  var from_b = right_matrix * params.k * params.n + min(columns, vec4u(params.n - 1));
  var sums = mat4x4f();
  var part = mat4x4f();
  for (var k = 0u; k < params.k; k++) {
    let left = vec4f(f32(a[from_a.x]), f32(a[from_a.y]), f32(a[from_a.z]), f32(a[from_a.w]));
    let right = vec4f(f32(b[from_b.x]), f32(b[from_b.y]), f32(b[from_b.z]), f32(b[from_b.w]));
    part += mat4x4f(left.x * right, left.y * right, left.z * right, left.w * right);
    from_a += vec4u(1);
    from_b += vec4u(params.n);
    // In blocks: a sum rounds the less, the shorter its chains are.
    if (k % 64 == 63) {
      sums += part;
      part = mat4x4f();
    }
  }
  sums += part;
  for (var r = 0u; r < 4; r++) {
    for (var c = 0u; c < 4; c++) {
      if (rows[r] < params.m && columns[c] < params.n) {
        y[(batch * params.m + rows[r]) * params.n + columns[c]] = Real(params.scale * sums[r][c]);
      }
    }
  }
}
