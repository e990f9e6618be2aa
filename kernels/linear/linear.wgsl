// linear, plain: y[n,o] = b[o] + sum over k of x[n,k] * w[o,k], then an activation if asked for.
//
// Layout: x [N,K], w [O,K], y [N,O], rows first. A long w may come in pieces: this dispatch has the rows
// first .. first + rows - 1 of w.
// Threads: one per output element, in the order of (n, row).

const WORKGROUP: u32 = 64;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32, // output elements of this dispatch
  first: u32,
  rows: u32,
  in_features: u32,
  out_features: u32,
  bias: u32, // 1 if asked for
  activation: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> w: array<Real>;
@group(0) @binding(2) var<storage, read> b: array<Real>;
@group(0) @binding(3) var<storage, read_write> y: array<Real>;
@group(0) @binding(4) var<uniform> params: Params;

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
  let row = index % params.rows;
  let n = index / params.rows;
  let o = params.first + row;
  // Four running sums: shorter chains of additions round less and wait less for one another.
  var sums = vec4f();
  var k = 0u;
  for (; k + 4 <= params.in_features; k += 4) {
    let i = n * params.in_features + k;
    let j = row * params.in_features + k;
    sums += vec4f(f32(x[i]), f32(x[i + 1]), f32(x[i + 2]), f32(x[i + 3])) * vec4f(f32(w[j]), f32(w[j + 1]), f32(w[j + 2]), f32(w[j + 3]));
  }
  for (; k < params.in_features; k++) {
    sums.x += f32(x[n * params.in_features + k]) * f32(w[row * params.in_features + k]);
  }
  var sum = (sums.x + sums.y) + (sums.z + sums.w);
  if (params.bias == 1) {
    sum += f32(b[o]);
  }
  y[n * params.out_features + o] = Real(activate(sum, params.activation));
}
