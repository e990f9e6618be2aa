// batchnorm_statistics: y[0,c] = mean of channel c of x, y[1,c] = its variance, the mean of the squared differences from that.
//
// Layout: x is [N, C, inner], y is [2, C].
// Threads: a workgroup per channel. The variance is that of the differences from the mean, whose own sum corrects what the mean
// has lost by rounding. Each thread adds up every WORKGROUP-th element, by parts of 32, and then half of them add the sums of
// the others until one is left: always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 256; // a power of two

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  channels: u32,
  inner: u32,
  terms: u32, // of a channel: N * inner
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

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

// Where the i-th element of a channel lies.
fn place(c: u32, i: u32) -> u32 {
  return (i / params.inner * params.channels + c) * params.inner + i % params.inner;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let c = wid.x + wid.y * groups.x;
  // Not returning early, so that all threads meet at the barriers.
  let terms = select(0, params.terms, c < params.channels);
  var sums = vec2f();
  for (var i = thread; i < terms;) {
    var part = 0.0;
    for (let end = min(i + 32 * WORKGROUP, terms); i < end; i += WORKGROUP) {
      part += f32(x[place(c, i)]);
    }
    sums.x += part;
  }
  let count = f32(params.terms);
  let rough = sum_of_all(thread, sums).x / count;
  sums = vec2f();
  for (var i = thread; i < terms;) {
    var part = vec2f();
    for (let end = min(i + 32 * WORKGROUP, terms); i < end; i += WORKGROUP) {
      let difference = f32(x[place(c, i)]) - rough;
      part += vec2f(difference, difference * difference);
    }
    sums += part;
  }
  let averages = sum_of_all(thread, sums) / count;
  if (thread == 0 && c < params.channels) {
    y[c] = Real(rough + averages.x);
    // Not less than 0 by rounding: on bits, since WGSL may assume that there is no NaN.
    let variance = averages.y - averages.x * averages.x;
    let bits = bitcast<u32>(variance);
    y[params.channels + c] = Real(select(variance, 0, bits >= 0x80000000 && bits <= 0xff800000));
  }
}
