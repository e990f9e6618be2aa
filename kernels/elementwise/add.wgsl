// add: y = a + alpha * b with broadcasting, then an activation if asked for.
//
// Layout: four dimensions, since those that are stretched alike are joined; a and b are read by strides, 0 where they are
// broadcast.
// Threads: one per output element.

const WORKGROUP: u32 = 64;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four numbers: see kernels/vectors.ts
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32,
  size1: u32, size2: u32, size3: u32, // of y
  a0: u32, a1: u32, a2: u32, a3: u32, // strides
  b0: u32, b1: u32, b2: u32, b3: u32,
  alpha: f32,
  activation: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Element>;
@group(0) @binding(1) var<storage, read> b: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

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
  if (index >= params.count) {
    return;
  }
  let p3 = index % params.size3;
  let p2 = index / params.size3 % params.size2;
  let p1 = index / (params.size3 * params.size2) % params.size1;
  let p0 = index / (params.size3 * params.size2 * params.size1);
  let left = Value(a[p0 * params.a0 + p1 * params.a1 + p2 * params.a2 + p3 * params.a3]);
  let right = Value(b[p0 * params.b0 + p1 * params.b1 + p2 * params.b2 + p3 * params.b3]);
  let sum = left + params.alpha * right;
  y[index] = Element(activate(sum, params.activation));
}
