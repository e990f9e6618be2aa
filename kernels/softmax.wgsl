// softmax: y[i] = e^(x[i] - max x) / sum of e^(x[k] - max x), along one dimension; its logarithm with LOG.
//
// Layout: the tensor seen as [outer, size, inner], softmax along size.
// Threads: one per (outer, inner). It reads its elements twice: the running sum is scaled down whenever the running
// maximum grows (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).

const WORKGROUP: u32 = 64;
const LOG: bool = false;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // outer * inner
  size: u32,
  inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

// NaN and +infinity, on bits, since WGSL may assume that there are none.
fn is_unfit(v: f32) -> bool {
  let bits = bitcast<u32>(v);
  return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let first = index / params.inner * params.size * params.inner + index % params.inner;
  // From the lowest number, and not from -infinity: differences of two such are NaN.
  var largest = -3.4028234e38;
  var sum = 0.0;
  var unfit = false;
  for (var k = 0u; k < params.size; k++) {
    let v = f32(x[first + k * params.inner]);
    unfit = unfit || is_unfit(v);
    if (v > largest) {
      sum = sum * exp(largest - v) + 1.0;
      largest = v;
    } else {
      sum += exp(v - largest);
    }
  }
  // No probabilities come of NaN, of infinity, or of nothing but -infinity.
  unfit = unfit || sum == 0;
  let nan = bitcast<f32>(select(0u, 0x7fc00000u, unfit));
  for (var k = 0u; k < params.size; k++) {
    let i = first + k * params.inner;
    let v = f32(x[i]) - largest;
    y[i] = Real(select(select(exp(v) / sum, v - log(sum), LOG), nan, unfit));
  }
}
