// conv2d_depthwise: the convolution with a filter of its own for every channel (as many groups as channels).
//
// y[n,i,j,c] = b[c] + sum over k, l of x[n, i stride - pad + k dilation, j stride - pad + l dilation, c] w[k,l,c].
// Every input is needed by few outputs, so that memory is what takes time: a thread computes COLUMNS neighbouring pixels of
// four channels, and loads each weight once for all of them.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C with C in vec4. Sizes of channels in Params count vec4s.
// Threads: one per COLUMNS pixels of a row and vec4 of channels.

const WORKGROUP: u32 = 64;
const BEYOND_RELU: bool = false; // for other activations: software adapters would compute all of them for every element
const COLUMNS = 4u;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // N * y_height * strips * channels
  strips: u32, // of COLUMNS pixels in a row
  channels: u32,
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
fn activate(v: vec4f, activation: u32) -> vec4f {
  let bits = bitcast<vec4u>(v);
  let positive = select(v, vec4f(), (bits >= vec4u(0x80000000)) & (bits <= vec4u(0xff800000)));
  var y = select(v, positive, activation == 1); // relu
  if (BEYOND_RELU) {
    switch activation {
      case 2 { y = min(positive, vec4f(6)); }                   // relu6
      case 3 { y = v / (1 + exp(-v)); }                         // silu
      case 4 { y = v * clamp(v + 3, vec4f(), vec4f(6)) / 6; }   // hardswish
      case 5 { y = clamp(v + 3, vec4f(), vec4f(6)) / 6; }       // hardsigmoid
      case 6 { y = 1 / (1 + exp(-v)); }                         // sigmoid
      default {                                                 // tanh: see tanh.wgsl
        let s = v * v;
        let series = v * (1 - s * (1.0 / 3 - s * (2.0 / 15 - s * (17.0 / 315 - s * (62.0 / 2835)))));
        let far = sign(v) * (1 - 2 / (exp(2 * min(abs(v), vec4f(10))) + 1));
        y = select(far, series, s < vec4f(0.09));
      }
    }
    y = select(y, v, (bits & vec4u(0x7fffffff)) > vec4u(0x7f800000));
  }
  return y;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let strip = index / params.channels % params.strips;
  let i = index / params.channels / params.strips % params.y_height;
  let n = index / params.channels / params.strips / params.y_height;
  let first = strip * COLUMNS;
  let top = i32(i * params.stride_height) - params.pad_top;
  let left = i32(first * params.stride_width) - params.pad_left;

  var sums: array<vec4f, COLUMNS>;
  for (var k = 0u; k < params.kernel_height; k++) {
    let row = top + i32(k * params.dilation_height);
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    let x_row = (n * params.x_height + u32(row)) * params.x_width;
    for (var l = 0u; l < params.kernel_width; l++) {
      let weight = vec4f(w[(k * params.kernel_width + l) * params.channels + c]);
      for (var p = 0u; p < COLUMNS; p++) {
        let column = u32(left + i32(p * params.stride_width + l * params.dilation_width)); // huge to the left of the row
        let inside = column < params.x_width;
        let value = vec4f(x[select(0u, (x_row + column) * params.channels + c, inside)]);
        sums[p] += select(vec4f(), value * weight, inside);
      }
    }
  }

  for (var p = 0u; p < COLUMNS; p++) {
    if (first + p >= params.y_width) {
      continue;
    }
    let out = ((n * params.y_height + i) * params.y_width + first + p) * params.channels + c;
    var sum = sums[p];
    if (params.bias == 1) {
      sum += vec4f(b[c]);
    }
    if (params.residual == 1) {
      sum += vec4f(r[out]);
    }
    y[out] = vec4<Real>(activate(sum, params.activation));
  }
}
