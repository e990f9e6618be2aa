// cross_entropy_gradient: y[n,k] = dy / total * (p[n,k] * sum over j of t[n,j] - t[n,k]), where p are the probabilities of row n,
// t[n,k] = weight[k] * ((1 - s) * (k is the label of the row) + s / K) its targets, s the smoothing, and total the sum of the
// weights of all labels.
//
// Layout: logits and y are [N, K], labels [N], weight [K], dy is one number.
// Threads: LANES of a workgroup for a row. Each adds up every LANES-th class, then half of them add the sums of the others until
// one is left: always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 64; // a power of two
const LANES: u32 = 64; // 1 for few classes, since barriers take longer than these
const WEIGHT: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  rows: u32,
  classes: u32,
  smoothing: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<Real>;
@group(0) @binding(1) var<storage, read> labels: array<Real>;
@group(0) @binding(2) var<storage, read> dy: array<Real>;
@group(0) @binding(3) var<storage, read> weight: array<Real>;
@group(0) @binding(4) var<storage, read_write> y: array<Real>;
@group(0) @binding(5) var<uniform> params: Params;

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
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let lane = thread % LANES;
  let row = (wid.x + wid.y * groups.x) * (WORKGROUP / LANES) + thread / LANES;
  let first = row * params.classes;
  // Not returning early, so that all threads meet at the barriers.
  let size = select(0, params.classes, row < params.rows);
  var most = -3.4028234e38;
  for (var k = lane; k < size; k += LANES) {
    most = max(most, f32(logits[first + k]));
  }
  most = max_over(LANES, thread, most);
  // Of the weights of the labels, and, of a row, of e^x and of the weights of the classes.
  var sums = vec3f();
  for (var n = thread; n < params.rows; n += WORKGROUP) {
    sums.x += weight_of(class_of(n));
  }
  for (var k = lane; k < size; k += LANES) {
    sums += vec3f(0, power(f32(logits[first + k]), most), weight_of(k));
  }
  let total = sum_over(WORKGROUP, thread, sums).x;
  sums = sum_over(LANES, thread, sums);
  let label = class_of(row);
  let spread = params.smoothing / f32(params.classes);
  let own = (1 - params.smoothing) * weight_of(label);
  let scale = f32(dy[0]) / total;
  for (var k = lane; k < size; k += LANES) {
    let probability = power(f32(logits[first + k]), most) / sums.y;
    let wanted = spread * weight_of(k) + select(0, own, k == label);
    y[first + k] = Real(scale * (probability * (own + spread * sums.z) - wanted));
  }
}
