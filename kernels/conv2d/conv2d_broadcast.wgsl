enable subgroups;
// conv2d_broadcast: the convolution as a matrix product in registers, for subgroups of 4 lanes: one subgroup per tile of 16
// output pixels by 32 output channels (implicit GEMM: no im2col matrix is written).
//
// Lane q has the sums of all pixels for the vec4s q and 4 + q of the tile's channels. Of four input channels it loads the
// weights of these, and the values of every fourth pixel, which it tells the others: a load takes as long as dozens of products
// where it is a branch for every lane. Where there are 8 channels, two lanes have 16 pixels and two the next 16. The loop has no
// array with a computed index: where compilers do not unroll, such an access is slow.
// The taps of a row of the filter follow each other in NHWC and are one run of channels, unless they are dilated.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC, r and y with channels in multiples of 4; w is KH,KW,C,O, cut as for conv2d_subgroup: for four input
// channels a matrix of 4x4 for each vec4 of the tile's channels. Sizes of channels in Params count vec4s, but those of x.
// Several products of the same shape may follow each other at the given strides (for Winograd).
// Threads: workgroup (x, y) is the tile of pixels, z that of channels and the product.

const CHANNELS = 8u; // in vec4s
const WIDTH: u32 = 32; // channels that are computed: 16 or 8 where there are no more
const LANES = min(4, WIDTH / 4); // for different channels
const PIXELS = 64 / LANES;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Value = vec4f;
alias Bits = vec4u;

struct Params {
  pixels: u32, // N * y_height * y_width
  x_height: u32, x_width: u32, x_channels: u32,
  y_height: u32, y_width: u32, y_channels: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  channel_tiles: u32,
  y_pitch: u32, y_first: u32, // of the rows of channels that are written: see kernels/layout/join.ts
  x_stride: u32, w_stride: u32, y_stride: u32, // vec4s from one product to the next
  bias: u32, residual: u32, // 1 if asked for: not constants, since every further pipeline takes long to compile
  activation: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> w: array<mat4x4<Real>>;
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

var<private> sums: array<vec4f, 16>; // for the first half of the channels, and for the second
var<private> more: array<vec4f, 16>;

// Where the windows of four pixels are, and in which images.
struct Windows {
  image: vec4u,
  top: vec4i, left: vec4i,
}

fn windows_of(pixels: vec4u) -> Windows {
  let lines = pixels / params.y_width;
  let image = lines / params.y_height;
  let top = vec4i((lines - image * params.y_height) * params.stride_height) - params.pad_top;
  return Windows(image, top, vec4i((pixels - lines * params.y_width) * params.stride_width) - params.pad_left);
}

// Where the rows begin that they have of a row of the filter, and where in these.
struct Rows {
  first: vec4u,
  start: vec4u,
}

fn rows_of(windows: Windows, images: u32, k: u32, l: u32) -> Rows {
  let row = windows.top + i32(k * params.dilation_height);
  let exists = vec4u(row) < vec4u(params.x_height); // none above: those are huge
  let first = images + (windows.image * params.x_height + vec4u(row)) * params.x_width * params.x_channels;
  let column = (windows.left + i32(l * params.dilation_width)) * i32(params.x_channels);
  // A place that stays outside of the row whatever is added, where there is none.
  return Rows(first, vec4u(select(vec4i(-0x40000000), column, exists)));
}

// Four numbers from the d-th on of the row that begins at p, as far as it has them, and the run so many.
fn inputs(p: u32, d: u32, count: u32, length: u32) -> vec4f {
  let at = d + vec4u(0, 1, 2, 3); // huge to the left of the row
  let exists = (at < vec4u(length)) & (vec4u(0, 1, 2, 3) < vec4u(count));
  return select(vec4f(), vec4f(f32(x[p + at.x]), f32(x[p + at.y]), f32(x[p + at.z]), f32(x[p + at.w])), exists);
}

// Adds the products of as many pixels as lanes share, each lane having the values of one.
fn accumulate(p: u32, first: mat4x4f, second: mat4x4f, own: vec4f) {
  if (WIDTH == 8) {
    // The next lane, which has the same pixels, has these two the other way round.
    sums[p] += first * own;
    sums[p + 1] += first * quadSwapX(own);
    return;
  }
  let x0 = quadBroadcast(own, 0);
  let x1 = quadBroadcast(own, 1);
  let x2 = quadBroadcast(own, 2);
  let x3 = quadBroadcast(own, 3);
  sums[p] += first * x0;
  sums[p + 1] += first * x1;
  sums[p + 2] += first * x2;
  sums[p + 3] += first * x3;
  if (WIDTH > 16) {
    more[p] += second * x0;
    more[p + 1] += second * x1;
    more[p + 2] += second * x2;
    more[p + 3] += second * x3;
  }
}

// Writes a vec4 of channels of a pixel, with what is added to the sum, activated.
fn write(out: u32, sum: vec4f) {
  var v = sum;
  if (params.residual == 1) {
    v += vec4f(r[out]);
  }
  y[out] = vec4<Real>(activate(v, params.activation));
}

@compute @workgroup_size(4)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_pixel = (wid.x + wid.y * groups.x) * PIXELS;
  let first_channel = wid.z % params.channel_tiles * CHANNELS;
  let product = wid.z / params.channel_tiles;

  let vector = lane % LANES;
  let first_own = lane / LANES * 16;
  let own = first_pixel + first_own + vector;
  let windows = windows_of(own + LANES * vec4u(0, 1, 2, 3));
  var more_windows: Windows;
  if (WIDTH == 8) {
    more_windows = windows_of(own + 2 * vec4u(4, 5, 6, 7));
  }

  // A filter is kernel_height x columns runs of "run" channels, of whose weights there are a multiple of 4.
  let columns = select(params.kernel_width, 1u, params.dilation_width == 1);
  let channels = params.x_channels;
  let run = params.kernel_width / columns * channels;
  let row_length = params.x_width * channels;
  let terms = params.kernel_height * columns * ((run + 3) / 4 * 4);
  let width = min(CHANNELS, params.y_channels - first_channel);
  let images = 4 * product * params.x_stride;
  var at = (product * params.w_stride + first_channel * terms) / 4 + vector;
  for (var k = 0u; k < params.kernel_height; k++) {
    for (var l = 0u; l < columns; l++) {
      let rows = rows_of(windows, images, k, l);
      var more_rows: Rows;
      if (WIDTH == 8) {
        more_rows = rows_of(more_windows, images, k, l);
      }
      for (var c = 0u; c < run; c += 4) {
        let first = mat4x4f(w[at]);
        var second: mat4x4f;
        if (WIDTH > 16) {
          second = mat4x4f(w[at + 4]);
        }
        let count = run - c;
        let d = rows.start + c;
        accumulate(0, first, second, inputs(rows.first.x, d.x, count, row_length));
        accumulate(LANES, first, second, inputs(rows.first.y, d.y, count, row_length));
        accumulate(2 * LANES, first, second, inputs(rows.first.z, d.z, count, row_length));
        accumulate(3 * LANES, first, second, inputs(rows.first.w, d.w, count, row_length));
        if (WIDTH == 8) {
          let e = more_rows.start + c;
          accumulate(8, first, second, inputs(more_rows.first.x, e.x, count, row_length));
          accumulate(10, first, second, inputs(more_rows.first.y, e.y, count, row_length));
          accumulate(12, first, second, inputs(more_rows.first.z, e.z, count, row_length));
          accumulate(14, first, second, inputs(more_rows.first.w, e.w, count, row_length));
        }
        at += width;
      }
    }
  }

  let channel = first_channel + vector;
  var bias = vec4f();
  var more_bias = vec4f();
  if (params.bias == 1) {
    bias = vec4f(b[channel]);
    if (WIDTH > 16) {
      more_bias = vec4f(b[channel + 4]);
    }
  }
  for (var p = 0u; p < 16; p++) {
    let pixel = first_pixel + first_own + select(p, p ^ vector, WIDTH == 8);
    let out = product * params.y_stride + params.y_first + pixel * params.y_pitch + channel;
    if (pixel < params.pixels && vector < width) {
      write(out, sums[p] + bias);
    }
    if (WIDTH > 16 && pixel < params.pixels && lane + 4 < width) {
      write(out + 4, more[p] + more_bias);
    }
  }
}
