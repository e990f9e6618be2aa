// softmax_gradient: y[i] = p[i] * (dy[i] - sum of dy[k] * p[k]), along one dimension, where p is a softmax; of its logarithm p,
// with LOG, y[i] = dy[i] - e^p[i] * sum of dy[k].
//
// Layout: the tensors seen as [outer, size, inner], the sums along size.
// Threads: a workgroup per (outer, inner). Each thread adds up every WORKGROUP-th element, then half of them add the sums of the
// others until one is left: always in the same order, and with the error of a sum that is much shorter.

const WORKGROUP: u32 = 64; // a power of two
const LOG: bool = false;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // outer * inner
  size: u32,
  inner: u32,
}

@group(0) @binding(0) var<storage, read> p: array<Real>;
@group(0) @binding(1) var<storage, read> dy: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

// NaN and +infinity, on bits, since WGSL may assume that there are none.
fn is_unfit(v: f32) -> bool {
  let bits = bitcast<u32>(v);
  return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u;
}

fn nan_if(unfit: bool, v: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(v), 0x7fc00000, unfit));
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = wid.x + wid.y * groups.x;
  let first = index / params.inner * params.size * params.inner + index % params.inner;
  // Not returning early, so that all threads meet at the barriers.
  let size = select(0, params.size, index < params.count);
  var sum = 0.0;
  for (var k = thread; k < size; k += WORKGROUP) {
    let at = first + k * params.inner;
    sum += f32(dy[at]) * select(f32(p[at]), 1, LOG);
  }
  sums[thread] = sum;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
  }
  workgroupBarrier();
  for (var k = thread; k < size; k += WORKGROUP) {
    let at = first + k * params.inner;
    let v = f32(p[at]);
    if (LOG) {
      y[at] = Real(f32(dy[at]) - nan_if(is_unfit(v), exp(v)) * sums[0]);
    } else {
      y[at] = Real(v * (f32(dy[at]) - sums[0]));
    }
  }
}
