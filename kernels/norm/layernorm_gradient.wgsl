// layernorm_gradient: y[r,i] = (g[i] - mean of g - n[i] * mean of g * n) / sqrt(variance + eps), where g = dy[r] * weight, n is the
// normalized row, (x[r] - mean) / sqrt(variance + eps), and mean and variance are those of row r of x.
//
// Layout: dy, x and y [rows, size]; weight [size].
// Threads: a workgroup per row. The variance is that of the differences from the mean, whose own sum corrects what the mean has
// lost by rounding. Each thread adds up every WORKGROUP-th element, then half of them add the sums of the others until one is left:
// always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 64; // a power of two
const WEIGHT: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  rows: u32,
  size: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> dy: array<Real>;
@group(0) @binding(1) var<storage, read> x: array<Real>;
@group(0) @binding(2) var<storage, read> weight: array<Real>;
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

fn weighted(first: u32, i: u32) -> f32 {
  var g = f32(dy[first + i]);
  if (WEIGHT) {
    g *= f32(weight[i]);
  }
  return g;
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
  var sums = vec2f();
  for (var i = thread; i < size; i += WORKGROUP) {
    sums.x += f32(x[first + i]);
  }
  let count = f32(params.size);
  let rough = sum_of_all(thread, sums).x / count;
  sums = vec2f();
  for (var i = thread; i < size; i += WORKGROUP) {
    let difference = f32(x[first + i]) - rough;
    sums += vec2f(difference, difference * difference);
  }
  let averages = sum_of_all(thread, sums) / count;
  let mean = rough + averages.x;
  let deviation = sqrt(max(averages.y - averages.x * averages.x, 0) + params.eps);
  sums = vec2f();
  for (var i = thread; i < size; i += WORKGROUP) {
    sums += weighted(first, i) * vec2f(1, (f32(x[first + i]) - mean) / deviation);
  }
  let shared_part = sum_of_all(thread, sums) / count;
  for (var i = thread; i < size; i += WORKGROUP) {
    let normal = (f32(x[first + i]) - mean) / deviation;
    y[first + i] = Real((weighted(first, i) - shared_part.x - normal * shared_part.y) / deviation);
  }
}
