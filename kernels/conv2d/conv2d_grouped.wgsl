// conv2d_grouped: the convolution whose channels are split into groups that do not see each other, of whole vec4s each.
//
// y[n,i,j,o] = b[o] + sum over k, l and the channels c of o's group of
//   x[n, i stride - pad + k dilation, j stride - pad + l dilation, c] w[k,l,c,o].
// A thread computes COLUMNS neighbouring pixels of four channels, and loads each matrix of 4x4 weights once for all of them.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O with C the channels of a group and O in vec4. Sizes of channels in Params
// count vec4s.
// Threads: one per COLUMNS pixels of a row and vec4 of channels.

const WORKGROUP: u32 = 64;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it
const COLUMNS = 4u;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Value = vec4f;
alias Bits = vec4u;

struct Params {
  count: u32, // N * y_height * strips * y_channels
  strips: u32, // of COLUMNS pixels in a row
  x_channels: u32, y_channels: u32,
  group_in: u32, group_out: u32, // channels of a group
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  bias: u32, residual: u32, // 1 if asked for
  activation: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<Real>>;
@group(0) @binding(3) var<storage, read> r: array<vec4<Real>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<Real>>;
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
  let o = index % params.y_channels;
  let first = index / params.y_channels % params.strips * COLUMNS;
  let i = index / params.y_channels / params.strips % params.y_height;
  let n = index / params.y_channels / params.strips / params.y_height;
  let top = i32(i * params.stride_height) - params.pad_top;
  let left = i32(first * params.stride_width) - params.pad_left;
  let first_channel = o / params.group_out * params.group_in;

  var sums: array<vec4f, COLUMNS>;
  for (var k = 0u; k < params.kernel_height; k++) {
    let row = top + i32(k * params.dilation_height);
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    let x_row = (n * params.x_height + u32(row)) * params.x_width;
    for (var l = 0u; l < params.kernel_width; l++) {
      for (var c = 0u; c < params.group_in; c++) {
        let at = 4 * ((k * params.kernel_width + l) * params.group_in + c) * params.y_channels + o;
        let weights = mat4x4f(
          vec4f(w[at]), vec4f(w[at + params.y_channels]),
          vec4f(w[at + 2 * params.y_channels]), vec4f(w[at + 3 * params.y_channels]),
        );
        var values: array<vec4f, COLUMNS>;
        for (var p = 0u; p < COLUMNS; p++) {
          let column = u32(left + i32(p * params.stride_width + l * params.dilation_width)); // huge to the left of the row
          let inside = column < params.x_width;
          let at_x = (x_row + column) * params.x_channels + first_channel + c;
          values[p] = select(vec4f(), vec4f(x[select(0u, at_x, inside)]), inside);
        }
        for (var p = 0u; p < COLUMNS; p++) {
          sums[p] += weights * values[p];
        }
      }
    }
  }

  for (var p = 0u; p < COLUMNS; p++) {
    if (first + p >= params.y_width) {
      continue;
    }
    let out = ((n * params.y_height + i) * params.y_width + first + p) * params.y_channels + o;
    var sum = sums[p];
    if (params.bias == 1) {
      sum += vec4f(b[o]);
    }
    if (params.residual == 1) {
      sum += vec4f(r[out]);
    }
    y[out] = vec4<Real>(activate(sum, params.activation));
  }
}
