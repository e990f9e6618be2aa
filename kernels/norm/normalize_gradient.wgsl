// normalize_gradient: y[r,i] = scale[r % factors] / length * (dy[r,i] - n[r,i] * sum over k of dy[r,k] * n[r,k]) with n = x / length,
// where length = sqrt(sum over k of x[r,k]^2); where that is below eps, y[r,i] = scale[r % factors] / eps * dy[r,i].
//
// Layout: dy, x and y [rows, size], scale [factors].
// Threads: a workgroup per row. Each thread adds up every WORKGROUP-th element, then half of them add the sums of the others until
// one is left: always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 64; // a power of two
const SCALE: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  rows: u32,
  size: u32,
  factors: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> dy: array<Real>;
@group(0) @binding(1) var<storage, read> x: array<Real>;
@group(0) @binding(2) var<storage, read> scale: array<Real>;
@group(0) @binding(3) var<storage, read_write> y: array<Real>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> partial: array<vec2f, WORKGROUP>;

// The sums over all threads.
fn sum_of_all(thread: u32, sums: vec2f) -> vec2f {
  partial[thread] = sums;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      partial[thread] += partial[thread + half];
    }
  }
  workgroupBarrier();
  let all = partial[0];
  workgroupBarrier();
  return all;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = wid.x + wid.y * groups.x;
  let first = row * params.size;
  // Not returning early, so that all threads meet at the barriers.
  let size = select(0, params.size, row < params.rows);
  var sums = vec2f(); // of x^2 and of x * dy
  for (var i = thread; i < size; i += WORKGROUP) {
    let v = f32(x[first + i]);
    sums += v * vec2f(v, f32(dy[first + i]));
  }
  sums = sum_of_all(thread, sums);
  let length = sqrt(sums.x);
  // Compared on bits, since WGSL may assume that there is no NaN.
  let short = bitcast<u32>(length) < bitcast<u32>(params.eps);
  let divisor = select(length, params.eps, short);
  let along = select(sums.y / length / length, 0, short);
  var factor = 1.0;
  if (SCALE) {
    factor = f32(scale[row % params.factors]);
  }
  for (var i = thread; i < size; i += WORKGROUP) {
    y[first + i] = Real((f32(dy[first + i]) - f32(x[first + i]) * along) / divisor * factor);
  }
}
