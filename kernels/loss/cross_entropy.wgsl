// cross_entropy: y = sum over rows n of weight[l] * (1 - s) * loss(n,l) + s / K * sum over k of weight[k] * loss(n,k), divided by
// the sum of the weight[l], where l is the label of the row, s the smoothing and loss(n,k) = log of sum of e^x[n] - x[n,k].
//
// Layout: the logits x are [N, K], labels [N], weight [K], y is one number.
// Threads: one workgroup, LANES of its threads for a row. Sums are those of the lanes, then half of them add those of the others
// until one is left: always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 256; // a power of two
const LANES: u32 = 16; // 1 for few classes, since barriers take longer than these
const WEIGHT: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  rows: u32,
  classes: u32,
  smoothing: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<Real>;
@group(0) @binding(1) var<storage, read> labels: array<Real>;
@group(0) @binding(2) var<storage, read> weight: array<Real>;
@group(0) @binding(3) var<storage, read_write> y: array<Real>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> partial: array<vec3f, WORKGROUP>;
var<workgroup> largest: array<f32, WORKGROUP>;

// The sums over so many threads side by side.
fn sum_over(lanes: u32, thread: u32, sums: vec3f) -> vec3f {
  if (lanes == 1) {
    return sums;
  }
  partial[thread] = sums;
  for (var half = lanes / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread % lanes < half) {
      partial[thread] += partial[thread + half];
    }
  }
  workgroupBarrier();
  let all = partial[thread - thread % lanes];
  workgroupBarrier();
  return all;
}

fn max_over(lanes: u32, thread: u32, v: f32) -> f32 {
  if (lanes == 1) {
    return v;
  }
  largest[thread] = v;
  for (var half = lanes / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread % lanes < half) {
      largest[thread] = max(largest[thread], largest[thread + half]);
    }
  }
  workgroupBarrier();
  let all = largest[thread - thread % lanes];
  workgroupBarrier();
  return all;
}

// The place of a row's class; the number of classes if its label is none.
fn class_of(row: u32) -> u32 {
  let label = f32(labels[row]);
  let k = u32(clamp(label, 0, f32(params.classes)));
  return select(params.classes, k, f32(k) == label);
}

// NaN and +infinity, on bits, since WGSL may assume that there are none.
fn is_unfit(v: f32) -> bool {
  let bits = bitcast<u32>(v);
  return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u;
}

fn nan_if(unfit: bool, v: f32) -> f32 {
  return bitcast<f32>(select(bitcast<u32>(v), 0x7fc00000, unfit));
}

// e^x by that of the largest x; no probabilities come of NaN and of infinity.
fn power(x: f32, most: f32) -> f32 {
  return nan_if(is_unfit(x), exp(x - most));
}

// The weight of a class; NaN of what is none.
fn weight_of(k: u32) -> f32 {
  var w = 1.0;
  if (WEIGHT) {
    w = f32(weight[min(k, params.classes - 1)]);
  }
  return nan_if(k >= params.classes, w);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) thread: u32) {
  let lane = thread % LANES;
  var totals = vec3f(); // of losses, and of the weights by which their sum is divided
  for (var start = 0u; start < params.rows; start += WORKGROUP / LANES) {
    let row = start + thread / LANES;
    let first = row * params.classes;
    // Not returning early, so that all threads meet at the barriers.
    let size = select(0, params.classes, row < params.rows);
    var most = -3.4028234e38;
    for (var k = lane; k < size; k += LANES) {
      most = max(most, f32(logits[first + k]));
    }
    most = max_over(LANES, thread, most);
    // Of e^x, and, by their weights, of classes and of what their x are below the largest.
    var sums = vec3f();
    for (var k = lane; k < size; k += LANES) {
      let v = f32(logits[first + k]);
      sums.x += power(v, most);
      if (params.smoothing > 0) {
        sums += vec3f(0, 1, most - v) * weight_of(k);
      }
    }
    sums = sum_over(LANES, thread, sums);
    if (lane == 0 && row < params.rows) {
      let label = class_of(row);
      let scale = weight_of(label);
      let below = most - f32(logits[first + min(label, params.classes - 1)]);
      // Of nothing but -infinity there is no loss either.
      let log_sum = nan_if(is_unfit(sums.x) || sums.x == 0, log(sums.x));
      var loss = (1 - params.smoothing) * scale * (log_sum + below);
      if (params.smoothing > 0) {
        loss += params.smoothing / f32(params.classes) * (sums.y * log_sum + sums.z);
      }
      totals += vec3f(loss, scale, 0);
    }
  }
  totals = sum_over(WORKGROUP, thread, totals);
  if (thread == 0) {
    y[0] = Real(totals.x / totals.y);
  }
}
