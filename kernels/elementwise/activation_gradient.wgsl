// activation_gradient: y = dy * f'(x), f being an activation. relu, relu6, sigmoid and tanh are given f(x) for x.
//
// Where f has a corner, f' is what PyTorch takes it for: 0 at both ends of relu6 and hardsigmoid, as of relu; 1 at both ends of
// clamp. Gradients that f does not let through are 0 even if they are infinite or NaN. NaN is tested on bits, since WGSL may
// assume that there is none. The tails of gelu and silu keep their digits: 1 - s is never computed from an s that has been rounded
// to 1, and dy is multiplied by the root of an exponential twice, since that itself is 0 where the product is not yet.
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;
const ACTIVATION: u32 = 0; // by its place in ACTIVATIONS of activation_gradient.ts

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four numbers: see kernels/vectors.ts
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32,
  low: f32, high: f32, // of clamp
  negativeSlope: f32,  // of leaky_relu
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read> dy: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

// P(-a) / exp(-a a / 2), P being the normal distribution's integral: Mills' ratio over sqrt(2 pi), as a polynomial in
// 1 / (1 + 0.35 a), to 4e-8 of itself.
fn normal_tail(a: Value) -> Value {
  let t = 1.0 / (1.0 + 0.35 * a);
  return t * (0.13962125 + t * (0.13986447 + t * (0.11981453 + t * (0.10557850 + t * (-0.02327232
    + t * (0.15940490 + t * (-0.25591209 + t * (0.14406563 + t * -0.02916490))))))));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let v = Value(x[index]);
  let is_nan = (bitcast<Bits>(v) & Bits(0x7fffffff)) > Bits(0x7f800000);
  let a = abs(v);
  let zero = Value();
  let given = Value(dy[index]);
  var gradient = given;
  switch ACTIVATION {
    case 0 { gradient = select(zero, given, (v >= Value(params.low)) & (v <= Value(params.high)) & !is_nan); } // clamp
    case 1 { // gelu: P(x) + x p(x), p being the normal density and P its integral
      let root = exp(-0.25 * a * a);
      let slope = normal_tail(a) - a * 0.3989422804014327; // at -a, but for root squared
      gradient = select(given * (1.0 - root * slope * root), given * root * slope * root, v < zero);
    }
    case 2 { gradient = select(zero, given / 6.0, (a < Value(3)) & !is_nan); } // hardsigmoid
    case 3 { gradient = select(select(given * (v / 3.0 + 0.5), given, (v >= Value(3)) & !is_nan), zero, (v <= Value(-3)) & !is_nan); } // hardswish
    case 4 { gradient = select(given * params.negativeSlope, given, (v > zero) & !is_nan); } // leaky_relu
    case 5 { gradient = select(given, zero, (v <= zero) & !is_nan); } // relu
    case 6 { gradient = select(given, zero, ((v <= zero) | (v >= Value(6))) & !is_nan); } // relu6
    case 7 { gradient = given * v * (1.0 - v); } // sigmoid
    case 8 { // silu: s + x s (1 - s), s being the sigmoid of x
      let root = exp(-0.5 * a);
      let e = root * root;
      let tail = given * root * (1.0 + v / (1.0 + e)) / (1.0 + e) * root;
      gradient = select(given * (1.0 + v * e / (1.0 + e)) / (1.0 + e), tail, v < zero);
    }
    default { gradient = given * (1.0 - v) * (1.0 + v); } // tanh
  }
  if (ACTIVATION == 1 || ACTIVATION == 3 || ACTIVATION >= 7) {
    gradient = select(gradient, v, is_nan);
  }
  y[index] = Element(gradient);
}
