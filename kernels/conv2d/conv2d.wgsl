// conv2d, plain: the definition as it stands, and the reference for every faster variant.
//
//   y[n,o,i,j] = b[o] + sum over c,k,l of x[n, g C + c, i s - p + k d, j s - p + l d] * w[o,c,k,l]
//
// C input channels per group; g is the group of output channel o; outside the image x is 0.
// Epilogue: + r[n,o,i,j], then an activation, each if asked for.
// Layout: x, r, y are NCHW; w is O,C,KH,KW. A long w may come in pieces: this dispatch has the output channels
// first .. first + channels - 1, and w starts at channel "first".
// Threads: one per output element, in the order of (n, channel, i, j).

const WORKGROUP: u32 = 64;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32, // output elements of this dispatch
  first: u32,
  channels: u32,
  x_channels: u32, x_height: u32, x_width: u32,
  y_channels: u32, y_height: u32, y_width: u32,
  group_in: u32, group_out: u32, // channels per group
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  bias: u32, residual: u32, // 1 if asked for
  activation: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> w: array<Real>;
@group(0) @binding(2) var<storage, read> b: array<Real>;
@group(0) @binding(3) var<storage, read> r: array<Real>;
@group(0) @binding(4) var<storage, read_write> y: array<Real>;
@group(0) @binding(5) var<uniform> params: Params;

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
  let j = index % params.y_width;
  let i = index / params.y_width % params.y_height;
  let channel = index / (params.y_width * params.y_height) % params.channels;
  let n = index / (params.y_width * params.y_height * params.channels);
  let o = params.first + channel;

  let x_first = n * params.x_channels + o / params.group_out * params.group_in;
  let w_first = channel * params.group_in;
  let top = i32(i * params.stride_height) - params.pad_top;
  let left = i32(j * params.stride_width) - params.pad_left;
  var sum = 0.0;
  for (var c = 0u; c < params.group_in; c++) {
    for (var k = 0u; k < params.kernel_height; k++) {
      let row = top + i32(k * params.dilation_height);
      if (row < 0 || row >= i32(params.x_height)) {
        continue;
      }
      let x_row = ((x_first + c) * params.x_height + u32(row)) * params.x_width;
      let w_row = ((w_first + c) * params.kernel_height + k) * params.kernel_width;
      for (var l = 0u; l < params.kernel_width; l++) {
        let column = left + i32(l * params.dilation_width);
        if (column >= 0 && column < i32(params.x_width)) {
          sum += f32(x[x_row + u32(column)]) * f32(w[w_row + l]);
        }
      }
    }
  }
  if (params.bias == 1) {
    sum += f32(b[o]);
  }
  let out = ((n * params.y_channels + o) * params.y_height + i) * params.y_width + j;
  if (params.residual == 1) {
    sum += f32(r[out]);
  }
  y[out] = Real(activate(sum, params.activation));
}
