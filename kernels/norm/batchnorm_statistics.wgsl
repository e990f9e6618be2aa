// batchnorm_statistics: y[p,0,c] = mean of the p-th part of channel c of x, y[p,1,c] = its variance, the mean of the squared
// differences from that.
//
// Layout: x is [N, C, inner], y is [parts, 2, C].
// Threads: params.lanes per channel of a part, neighbours having neighbouring channels. The variance is that of the differences
// from the mean, whose own sum corrects what the mean has lost by rounding. Each thread adds up elements that are as many apart, by
// sums of 32, and then half of them add the sums of the others until one is left: always in the same order, and with the error of
// sums that are much shorter.

const WORKGROUP: u32 = 256; // a power of two
const ROWS: bool = false;   // inner is 1
const ALONE: bool = false;  // a thread has no others to wait for: params.lanes is 1

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels: see kernels/vectors.ts
alias Value = f32;
alias Bits = u32;

struct Params {
  channels: u32,
  inner: u32,
  terms: u32, // of a channel: N * inner
  part: u32, // of these
  blocks: u32, // of as many channels as a workgroup has
  lanes: u32, // threads for a channel, a power of two
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<array<Value, 2>, WORKGROUP>;

// The sums over all threads of a channel.
fn sums_of_all(thread: u32, sums: array<Value, 2>) -> array<Value, 2> {
  if (ALONE) {
    return sums;
  }
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
  let group = wid.x + wid.y * groups.x;
  let channels = WORKGROUP / params.lanes; // of a workgroup
  let c = group % params.blocks * channels + thread % channels;
  let p = group / params.blocks;
  let first = p * params.part;
  // Not returning early, so that all threads meet at the barriers.
  let is_in = c < params.channels && first < params.terms;
  let last = select(0, min(first + params.part, params.terms), is_in);
  var sums = array<Value, 2>();
  for (var i = first + thread / channels; i < last;) {
    var sum = Value();
    for (let end = min(i + 32 * params.lanes, last); i < end; i += params.lanes) {
      sum += Value(x[place(c, i)]);
    }
    sums[0] += sum;
  }
  let count = f32(last - first);
  let rough = sums_of_all(thread, sums)[0] / count;
  sums = array<Value, 2>();
  for (var i = first + thread / channels; i < last;) {
    var sum = Value();
    var squares = Value();
    for (let end = min(i + 32 * params.lanes, last); i < end; i += params.lanes) {
      let difference = Value(x[place(c, i)]) - rough;
      sum += difference;
      squares += difference * difference;
    }
    sums[0] += sum;
    sums[1] += squares;
  }
  let all = sums_of_all(thread, sums);
  if (thread < channels && is_in) {
    let mean = all[0] / count;
    y[2 * p * params.channels + c] = Element(rough + mean);
    // Not less than 0 by rounding: on bits, since WGSL may assume that there is no NaN.
    let variance = all[1] / count - mean * mean;
    let bits = bitcast<Bits>(variance);
    let is_negative = (bits >= Bits(0x80000000)) & (bits <= Bits(0xff800000));
    y[(2 * p + 1) * params.channels + c] = Element(select(variance, Value(), is_negative));
  }
}
