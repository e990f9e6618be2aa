// batchnorm_train: y = (x - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c], with the statistics of the batch itself,
// then + r and an activation, each if asked for.
//
// Layout: x, r and y are [N, C, inner], the statistics [2, C]: means, variances. c is the second dimension.
// Threads: one per element of the first params.step ones, each for those of its channel that are as many apart.

const WORKGROUP: u32 = 64;
const WEIGHT: bool = true;
const BIAS: bool = true;
const RESIDUAL: bool = true;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels: see kernels/vectors.ts
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32,
  step: u32, // a multiple of channels * inner
  channels: u32,
  inner: u32,
  eps: f32,
  activation: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read> statistics: array<Element>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read> bias: array<Element>;
@group(0) @binding(4) var<storage, read> r: array<Element>;
@group(0) @binding(5) var<storage, read_write> y: array<Element>;
@group(0) @binding(6) var<uniform> params: Params;

// What is applied last: y = f(v) by its number in kernels/activation.ts. NaN stays: tested on bits, since WGSL may assume that
// there is none.
fn activate(v: Value, activation: u32) -> Value {
  let bits = bitcast<Bits>(v);
  let positive = select(v, Value(), (bits >= Bits(0x80000000)) & (bits <= Bits(0xff800000)));
  var y = select(v, positive, activation == 1); // relu
  if (BEYOND_RELU > 0 && activation > 1) {
    switch BEYOND_RELU {
      case 2 { y = min(positive, Value(6)); }                   // relu6
      case 3 { y = v / (1 + exp(-v)); }                         // silu
      case 4 { y = v * clamp(v + 3, Value(), Value(6)) / 6; }   // hardswish
      case 5 { y = clamp(v + 3, Value(), Value(6)) / 6; }       // hardsigmoid
      case 6 { y = 1 / (1 + exp(-v)); }                         // sigmoid
      default {                                                 // tanh: see tanh.wgsl
        let s = v * v;
        let series = v * (1 - s * (1.0 / 3 - s * (2.0 / 15 - s * (17.0 / 315 - s * (62.0 / 2835)))));
        let far = sign(v) * (1 - 2 / (exp(2 * min(abs(v), Value(10))) + 1));
        y = select(far, series, s < Value(0.09));
      }
    }
    y = select(y, v, (bits & Bits(0x7fffffff)) > Bits(0x7f800000));
  }
  return y;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.step) {
    return;
  }
  let c = index / params.inner % params.channels;
  let mean = Value(statistics[c]);
  var scale = 1 / sqrt(Value(statistics[params.channels + c]) + params.eps);
  if (WEIGHT) {
    scale *= Value(weight[c]);
  }
  var shift = Value();
  if (BIAS) {
    shift = Value(bias[c]);
  }
  for (var at = index; at < params.count; at += params.step) {
    var v = (Value(x[at]) - mean) * scale + shift;
    if (RESIDUAL) {
      v += Value(r[at]);
    }
    y[at] = Element(activate(v, params.activation));
  }
}
