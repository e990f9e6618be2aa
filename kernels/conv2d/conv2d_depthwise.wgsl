// conv2d_depthwise: the convolution with a filter of its own for every channel (as many groups as channels).
//
// y[n,i,j,c] = b[c] + sum over k, l of x[n, i stride - pad + k dilation, j stride - pad + l dilation, c] w[k,l,c].
// Every input is needed by few outputs, so that memory is what takes time: a thread goes along ROWS rows of the output with a
// window of what they need of the image in registers, and loads every column of it, and each weight, once.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C with C in vec4. Sizes of channels in Params count vec4s.
// Threads: one per strip of ROWS rows by COLUMNS pixels, and vec4 of channels.

const WORKGROUP: u32 = 64;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it
const UNROLL: bool = false; // whether loads are written out: for GPUs, which then have many of them under way
const ROWS: u32 = 2;
const KERNEL_HEIGHT: u32 = 3;
const KERNEL_WIDTH: u32 = 3;
const STRIDE: u32 = 1; // from row to row
const DILATION_HEIGHT: u32 = 1;
const DILATION_WIDTH: u32 = 1;

// Of the window.
const HEIGHT = (ROWS - 1) * STRIDE + (KERNEL_HEIGHT - 1) * DILATION_HEIGHT + 1;
const WIDTH = (KERNEL_WIDTH - 1) * DILATION_WIDTH + 1;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Value = vec4f;
alias Bits = vec4u;

struct Params {
  count: u32, // N * strips of rows * strips of columns * channels
  strips: u32, // of columns
  columns: u32, // of a strip
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

// Of channels c; zeros outside of the image.
fn pixel(n: u32, row: u32, column: u32, c: u32) -> vec4f {
  let inside = column < params.x_width && row < params.x_height;
  let at = ((n * params.x_height + row) * params.x_width + column) * params.channels + c;
  return select(vec4f(), vec4f(x[select(0u, at, inside)]), inside);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let first = index / params.channels % params.strips * params.columns;
  let y_strips = (params.y_height + ROWS - 1) / ROWS;
  let i = index / params.channels / params.strips % y_strips * ROWS;
  let n = index / params.channels / params.strips / y_strips;
  let top = i * STRIDE - u32(params.pad_top); // huge above the image, as columns are to the left of it

  var weights: array<array<vec4f, KERNEL_WIDTH>, KERNEL_HEIGHT>;
  for (var k = 0u; UNROLL && k < KERNEL_HEIGHT; k++) {
    for (var l = 0u; l < KERNEL_WIDTH; l++) {
      weights[k][l] = vec4f(w[(k * KERNEL_WIDTH + l) * params.channels + c]);
    }
  }
  // Row by row, the next moving up: compilers of software adapters take long for loads, and would write them all out.
  for (var at = c; !UNROLL && at < params.kernel_height * KERNEL_WIDTH * params.channels; at += KERNEL_WIDTH * params.channels) {
    for (var k = 0u; k < KERNEL_HEIGHT - 1; k++) {
      weights[k] = weights[k + 1];
    }
    for (var l = 0u; l < KERNEL_WIDTH; l++) {
      weights[KERNEL_HEIGHT - 1][l] = vec4f(w[at + l * params.channels]);
    }
  }
  var bias = vec4f();
  if (params.bias == 1) {
    bias = vec4f(b[c]);
  }

  var window: array<array<vec4f, WIDTH>, HEIGHT>;
  var column = first * params.stride_width - u32(params.pad_left);
  var end = column + WIDTH; // of the window of the next pixels
  for (var l = 0u; UNROLL && l < WIDTH; l++) {
    for (var t = 0u; t < HEIGHT; t++) {
      window[t][l] = pixel(n, top + t, column + l, c);
    }
  }
  column = select(column, end, UNROLL);
  for (var j = first; j < min(first + params.columns, params.y_width); j++) {
    for (; column != end; column++) {
      for (var t = 0u; t < HEIGHT; t++) {
        for (var l = 0u; l < WIDTH - 1; l++) {
          window[t][l] = window[t][l + 1];
        }
        window[t][WIDTH - 1] = pixel(n, top + t, column, c);
      }
    }
    end += params.stride_width;
    for (var q = 0u; q < ROWS; q++) {
      var sum = bias;
      for (var k = 0u; k < KERNEL_HEIGHT; k++) {
        for (var l = 0u; l < KERNEL_WIDTH; l++) {
          sum += window[q * STRIDE + k * DILATION_HEIGHT][l * DILATION_WIDTH] * weights[k][l];
        }
      }
      if (i + q < params.y_height) {
        let out = ((n * params.y_height + i + q) * params.y_width + j) * params.channels + c;
        if (params.residual == 1) {
          sum += vec4f(r[out]);
        }
        y[out] = vec4<Real>(activate(sum, params.activation));
      }
    }
  }
}
