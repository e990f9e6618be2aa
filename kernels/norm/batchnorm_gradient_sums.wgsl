// batchnorm_gradient_sums: y[p,0,c] = sum of dy * (x - mean[c]) / sqrt(variance[c] + eps) over the p-th part of channel c,
// y[p,1,c] = sum of dy over it: the gradients by weight and bias, but for the sum over p.
//
// Layout: dy and x are [N, C, inner], the statistics [2, C]: means, variances; y is [parts, 2, C].
// Threads: params.lanes per channel of a part, neighbours having neighbouring channels. Each thread adds up elements that are as
// many apart, by sums of 32, and then half of them add the sums of the others until one is left: always in the same order, and with
// the error of sums that are much shorter.

const WORKGROUP: u32 = 256; // a power of two
const ROWS: bool = false;   // inner is 1
const ALONE: bool = false;  // a thread has no others to wait for: params.lanes is 1

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels: see kernels/vectors.ts
alias Value = f32;

struct Params {
  channels: u32,
  inner: u32,
  terms: u32, // of a channel: N * inner
  part: u32, // of these
  blocks: u32, // of as many channels as a workgroup has
  lanes: u32, // threads for a channel, a power of two
  eps: f32,
}

@group(0) @binding(0) var<storage, read> dy: array<Element>;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> statistics: array<Element>;
@group(0) @binding(3) var<storage, read_write> y: array<Element>;
@group(0) @binding(4) var<uniform> params: Params;

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
  let mean = Value(statistics[c]);
  var sums = array<Value, 2>();
  for (var i = first + thread / channels; i < last;) {
    var sum = Value();
    var products = Value();
    for (let end = min(i + 32 * params.lanes, last); i < end; i += params.lanes) {
      let at = place(c, i);
      let d = Value(dy[at]);
      sum += d;
      products += d * (Value(x[at]) - mean);
    }
    sums[0] += sum;
    sums[1] += products;
  }
  let all = sums_of_all(thread, sums);
  if (thread < channels && is_in) {
    y[2 * p * params.channels + c] = Element(all[1] / sqrt(Value(statistics[params.channels + c]) + params.eps));
    y[(2 * p + 1) * params.channels + c] = Element(all[0]);
  }
}
