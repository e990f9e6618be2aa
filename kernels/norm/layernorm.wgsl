// layernorm: y[r,i] = (x[r,i] - mean) / sqrt(variance + eps) * weight[i] + bias[i], with mean and variance of row r.
//
// Layout: x and y [rows, size]; weight and bias [size].
// Threads: LANES per row; the q-th of them has the elements q, q + LANES, q + 2 LANES, ... The variance is that of the
// differences from the mean, whose own sum corrects what the mean has lost by rounding. They are summed by parts: to a large
// sum hundreds of small terms, all alike where a row has been padded, would each be added with the same error.

const WORKGROUP: u32 = 64;
const LANES: u32 = 1; // 1, or a power of 2 up to WORKGROUP
const WEIGHT: bool = true;
const BIAS: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  rows: u32,
  size: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> weight: array<Real>;
@group(0) @binding(2) var<storage, read> bias: array<Real>;
@group(0) @binding(3) var<storage, read_write> y: array<Real>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> partial: array<vec2f, WORKGROUP>;

// The sums over the lanes of a row.
fn total(thread: u32, sums: vec2f) -> vec2f {
  if (LANES == 1) {
    return sums;
  }
  partial[thread] = sums;
  for (var half = LANES / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread % LANES < half) {
      partial[thread] += partial[thread + half];
    }
  }
  workgroupBarrier();
  let all = partial[thread - thread % LANES];
  workgroupBarrier();
  return all;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = ((wid.x + wid.y * groups.x) * WORKGROUP + thread) / LANES;
  let first = row * params.size;
  // Not returning early, so that all threads meet at the barriers.
  let size = select(0, params.size, row < params.rows);
  var sums = vec2f();
  for (var i = thread % LANES; i < size; i += LANES) {
    sums.x += f32(x[first + i]);
  }
  let count = f32(params.size);
  let rough = total(thread, sums).x / count;
  sums = vec2f();
  for (var i = thread % LANES; i < size;) {
    var part = vec2f();
    for (let end = min(i + 32 * LANES, size); i < end; i += LANES) {
      let difference = f32(x[first + i]) - rough;
      part += vec2f(difference, difference * difference);
    }
    sums += part;
  }
  let averages = total(thread, sums) / count;
  let mean = rough + averages.x;
  let deviation = sqrt(max(averages.y - averages.x * averages.x, 0) + params.eps);
  for (var i = thread % LANES; i < size; i += LANES) {
    var v = (f32(x[first + i]) - mean) / deviation;
    if (WEIGHT) {
      v *= f32(weight[i]);
    }
    if (BIAS) {
      v += f32(bias[i]);
    }
    y[first + i] = Real(v);
  }
}
