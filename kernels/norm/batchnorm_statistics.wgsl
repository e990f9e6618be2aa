// batchnorm_statistics: y[0,c] = mean of channel c of x, y[1,c] = its variance, the mean of the squared differences from that.
//
// Layout: x is [N, C, inner], y is [2, C].
// Threads: params.lanes per channel, neighbours having neighbouring channels. The variance is that of the differences from the
// mean, whose own sum corrects what the mean has lost by rounding. Each thread adds up elements that are as many apart, by parts
// of 32, and then half of them add the sums of the others until one is left: always in the same order, and with the error of sums
// that are much shorter.

const WORKGROUP: u32 = 256; // a power of two
const ROWS: bool = false;   // inner is 1

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels: see kernels/vectors.ts
alias Value = f32;
alias Bits = u32;

struct Params {
  channels: u32,
  inner: u32,
  terms: u32, // of a channel: N * inner
  lanes: u32, // threads for a channel, a power of two
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<array<Value, 2>, WORKGROUP>;

// The sums over all threads of a channel.
fn sums_of_all(thread: u32, sums: array<Value, 2>) -> array<Value, 2> {
  let channels = WORKGROUP / params.lanes;
  partial[thread] = sums;
  for (var half = WORKGROUP / 2; half >= channels; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      partial[thread][0] += partial[thread + half][0];
      partial[thread][1] += partial[thread + half][1];
    }
  }
  workgroupBarrier();
  let all = partial[thread % channels];
  workgroupBarrier();
  return all;
}

// Where the i-th element of a channel lies.
fn place(c: u32, i: u32) -> u32 {
  if (ROWS) {
    return i * params.channels + c;
  }
  return (i / params.inner * params.channels + c) * params.inner + i % params.inner;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let channels = WORKGROUP / params.lanes; // of a workgroup
  let c = (wid.x + wid.y * groups.x) * channels + thread % channels;
  // Not returning early, so that all threads meet at the barriers.
  let terms = select(0, params.terms, c < params.channels);
  var sums = array<Value, 2>();
  for (var i = thread / channels; i < terms;) {
    var part = Value();
    for (let end = min(i + 32 * params.lanes, terms); i < end; i += params.lanes) {
      part += Value(x[place(c, i)]);
    }
    sums[0] += part;
  }
  let count = f32(params.terms);
  let rough = sums_of_all(thread, sums)[0] / count;
  sums = array<Value, 2>();
  for (var i = thread / channels; i < terms;) {
    var part = array<Value, 2>();
    for (let end = min(i + 32 * params.lanes, terms); i < end; i += params.lanes) {
      let difference = Value(x[place(c, i)]) - rough;
      part[0] += difference;
      part[1] += difference * difference;
    }
    sums[0] += part[0];
    sums[1] += part[1];
  }
  let all = sums_of_all(thread, sums);
  if (thread < channels && c < params.channels) {
    let mean = all[0] / count;
    y[c] = Element(rough + mean);
    // Not less than 0 by rounding: on bits, since WGSL may assume that there is no NaN.
    let variance = all[1] / count - mean * mean;
    let bits = bitcast<Bits>(variance);
    y[params.channels + c] = Element(select(variance, Value(), (bits >= Bits(0x80000000)) & (bits <= Bits(0xff800000))));
  }
}
