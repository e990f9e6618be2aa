// softmax_rows: softmax along the last dimension of long rows, see softmax; a workgroup per row, which reads it once.
//
// Layout: x and y are [rows, size], size at most WORKGROUP * VALUES.
// Threads: workgroup (x, y) is the row; thread q has the elements q, q + WORKGROUP, q + 2 WORKGROUP, ...

const WORKGROUP: u32 = 256;
const LOG: bool = false;
const VALUES = 16u;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  rows: u32,
  size: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<f32, WORKGROUP>;
var<workgroup> unfit: atomic<u32>;

const LOWEST = -3.4028234e38f;

// NaN and +infinity, on bits, since WGSL may assume that there are none.
fn is_unfit(v: f32) -> bool {
  let bits = bitcast<u32>(v);
  return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = wid.x + wid.y * groups.x;
  if (row >= params.rows) {
    return;
  }
  var values: array<f32, VALUES>;
  var largest = LOWEST;
  for (var q = 0u; q < VALUES; q++) {
    let k = thread + q * WORKGROUP;
    if (k < params.size) {
      values[q] = f32(x[row * params.size + k]);
      largest = max(largest, values[q]);
      if (is_unfit(values[q])) {
        atomicOr(&unfit, 1u);
      }
    }
  }
  partial[thread] = largest;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      partial[thread] = max(partial[thread], partial[thread + half]);
    }
  }
  workgroupBarrier();
  largest = partial[0];
  workgroupBarrier();

  var sum = 0.0;
  for (var q = 0u; q < VALUES; q++) {
    if (thread + q * WORKGROUP < params.size) {
      sum += exp(values[q] - largest);
    }
  }
  partial[thread] = sum;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
  }
  workgroupBarrier();
  sum = partial[0];

  // No probabilities come of NaN, of infinity, or of nothing but -infinity.
  let spoilt = atomicLoad(&unfit) == 1 || sum == 0;
  let nan = bitcast<f32>(select(0u, 0x7fc00000u, spoilt));
  for (var q = 0u; q < VALUES; q++) {
    let k = thread + q * WORKGROUP;
    if (k < params.size) {
      let v = values[q] - largest;
      y[row * params.size + k] = Real(select(select(exp(v) / sum, v - log(sum), LOG), nan, spoilt));
    }
  }
}
