// linear, plain: y[n,o] = b[o] + sum over k of x[n,k] * w[o,k], then relu if asked for.
//
// Layout: x [N,K], w [O,K], y [N,O], rows first. A long w may come in pieces: this dispatch has the rows
// first .. first + rows - 1 of w.
// Threads: one per output element, in the order of (n, row).

const WORKGROUP: u32 = 64;
const BIAS: bool = true;
const RELU: bool = false;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // output elements of this dispatch
  first: u32,
  rows: u32,
  in_features: u32,
  out_features: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> w: array<Real>;
@group(0) @binding(2) var<storage, read> b: array<Real>;
@group(0) @binding(3) var<storage, read_write> y: array<Real>;
@group(0) @binding(4) var<uniform> params: Params;

// Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
fn relu(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return select(v, 0.0, bits >= 0x80000000u && bits <= 0xff800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let row = index % params.rows;
  let n = index / params.rows;
  let o = params.first + row;
  // Four running sums: shorter chains of additions round less and wait less for one another.
  var sums = vec4f();
  var k = 0u;
  for (; k + 4 <= params.in_features; k += 4) {
    let i = n * params.in_features + k;
    let j = row * params.in_features + k;
    sums += vec4f(f32(x[i]), f32(x[i + 1]), f32(x[i + 2]), f32(x[i + 3])) * vec4f(f32(w[j]), f32(w[j + 1]), f32(w[j + 2]), f32(w[j + 3]));
  }
  for (; k < params.in_features; k++) {
    sums.x += f32(x[n * params.in_features + k]) * f32(w[row * params.in_features + k]);
  }
  var sum = (sums.x + sums.y) + (sums.z + sums.w);
  if (BIAS) {
    sum += f32(b[o]);
  }
  y[n * params.out_features + o] = Real(select(sum, relu(sum), RELU));
}
