enable subgroups;
// conv2d_broadcast: the convolution as a matrix product in registers, for subgroups of 4 lanes: one subgroup per tile of 8
// output pixels by 32 output channels (implicit GEMM: no im2col matrix is written).
//
// Lane q has the sums of all pixels for the channels q, 4 + q, 8 + q, ... of the tile. So what the lanes load or store lies side
// by side, which is one access where compilers look at addresses; and of a pixel they load four input channels at once, and
// tell each other. The loop has no array with a computed index: where compilers do not unroll, such an access is slow.
// The taps of a row of the filter follow each other in NHWC and are one run of channels, unless they are dilated.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC, r and y with channels in multiples of 4; w is KH,KW,C,O, cut as for conv2d_subgroup. Sizes of
// channels in Params count vec4s, but those of x.
// Several products of the same shape may follow each other at the given strides (for Winograd).
// Threads: workgroup (x, y) is the tile of pixels, z that of channels and the product.

const PIXELS = 8u;
const CHANNELS = 8u; // in vec4s
const WIDTH: u32 = 32; // channels that are computed: 16 or 8 where there are no more
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

// Of what has the tile's channels side by side, those of a lane: the first half of its channels, or from "at" + 64 on the second.
// Loads take most of the time: there are none of weights whose sums nobody wants.
fn weights(at: u32) -> vec4f {
  if (WIDTH < 16) {
    return vec4f(vec4<Real>(w[at], w[at + 16], 0, 0));
  }
  return vec4f(vec4<Real>(w[at], w[at + 16], w[at + 32], w[at + 48]));
}

// Four numbers of a pixel's run, the same for all lanes, of which each loads one: that at d, if there is one. The row begins at
// p.x and is so long; the run begins at p.y of it.
fn inputs(p: vec2u, d: u32, exists: bool, length: u32) -> vec4f {
  let at = p.y + d; // huge to the left of the row
  let v = select(0, f32(x[p.x + at]), exists && at < length);
  return vec4f(subgroupBroadcast(v, 0), subgroupBroadcast(v, 1), subgroupBroadcast(v, 2), subgroupBroadcast(v, 3));
}

// What is added to the sums of a lane's channels, a half of them.
fn biases(at: u32) -> vec4f {
  return select(vec4f(), vec4f(vec4<Real>(b[at], b[at + 4], b[at + 8], b[at + 12])), params.bias == 1);
}
fn residuals(at: u32) -> vec4f {
  return select(vec4f(), vec4f(vec4<Real>(r[at], r[at + 4], r[at + 8], r[at + 12])), params.residual == 1);
}

// Writes a half of a lane's channels of a pixel, as far as there are so many.
fn write(at: u32, width: i32, v: vec4f) {
  if (width > 0) {
    y[at] = Real(v.x);
  }
  if (width > 1) {
    y[at + 4] = Real(v.y);
  }
  if (width > 2) {
    y[at + 8] = Real(v.z);
  }
  if (width > 3) {
    y[at + 12] = Real(v.w);
  }
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

  // A lane finds out where the windows of two of the pixels are, and tells the others.
  let pixels = vec2u(0, 4) + first_pixel + lane;
  let lines = pixels / params.y_width;
  let image = lines / params.y_height;
  let top = vec2i((lines - image * params.y_height) * params.stride_height) - params.pad_top;
  let left = vec2i((pixels - lines * params.y_width) * params.stride_width) - params.pad_left;

  // A filter is kernel_height x columns runs of "run" channels, of whose weights there are a multiple of 4.
  let columns = select(params.kernel_width, 1u, params.dilation_width == 1);
  let channels = params.x_channels;
  let run = params.kernel_width / columns * channels;
  let row_length = params.x_width * channels;
  let terms = params.kernel_height * columns * ((run + 3) / 4 * 4);
  let width = min(CHANNELS, params.y_channels - first_channel);
  var at = 4 * (product * params.w_stride + first_channel * terms) + lane;
  var sums: array<vec4f, PIXELS>; // for the first half of the channels, and for the second
  var more: array<vec4f, PIXELS>;
  for (var k = 0u; k < params.kernel_height; k++) {
    for (var l = 0u; l < columns; l++) {
      let row = top + i32(k * params.dilation_height);
      let exists = vec2u(row) < vec2u(params.x_height); // none above: those are huge
      let rows = 4 * product * params.x_stride + (image * params.x_height + vec2u(row)) * row_length;
      // A place that stays outside of the row whatever is added, where there is none.
      let starts = select(vec2i(-0x40000000), (left + i32(l * params.dilation_width)) * i32(channels), exists);
      let low = vec2u(rows.x, u32(starts.x));
      let high = vec2u(rows.y, u32(starts.y));
      let p0 = subgroupBroadcast(low, 0);
      let p1 = subgroupBroadcast(low, 1);
      let p2 = subgroupBroadcast(low, 2);
      let p3 = subgroupBroadcast(low, 3);
      let p4 = subgroupBroadcast(high, 0);
      let p5 = subgroupBroadcast(high, 1);
      let p6 = subgroupBroadcast(high, 2);
      let p7 = subgroupBroadcast(high, 3);
      for (var c = 0u; c < run; c += 4) {
        let m = mat4x4f(weights(at), weights(at + 4), weights(at + 8), weights(at + 12));
        let x0 = inputs(p0, c + lane, c + lane < run, row_length);
        let x1 = inputs(p1, c + lane, c + lane < run, row_length);
        let x2 = inputs(p2, c + lane, c + lane < run, row_length);
        let x3 = inputs(p3, c + lane, c + lane < run, row_length);
        let x4 = inputs(p4, c + lane, c + lane < run, row_length);
        let x5 = inputs(p5, c + lane, c + lane < run, row_length);
        let x6 = inputs(p6, c + lane, c + lane < run, row_length);
        let x7 = inputs(p7, c + lane, c + lane < run, row_length);
        sums[0] += m * x0;
        sums[1] += m * x1;
        sums[2] += m * x2;
        sums[3] += m * x3;
        sums[4] += m * x4;
        sums[5] += m * x5;
        sums[6] += m * x6;
        sums[7] += m * x7;
        if (WIDTH > 16) {
          let n = mat4x4f(weights(at + 64), weights(at + 68), weights(at + 72), weights(at + 76));
          more[0] += n * x0;
          more[1] += n * x1;
          more[2] += n * x2;
          more[3] += n * x3;
          more[4] += n * x4;
          more[5] += n * x5;
          more[6] += n * x6;
          more[7] += n * x7;
        }
        at += 16 * width;
      }
    }
  }

  let channel = 4 * first_channel + lane;
  let bias = biases(channel);
  let more_bias = biases(channel + 16);
  let end = min(first_pixel + PIXELS, params.pixels);
  for (var pixel = first_pixel; pixel < end; pixel++) {
    let out = 4 * (product * params.y_stride + params.y_first + pixel * params.y_pitch) + channel;
    let p = pixel - first_pixel;
    write(out, i32(width), activate(sums[p] + bias + residuals(out), params.activation));
    if (WIDTH > 16) {
      write(out + 16, i32(width) - 4, activate(more[p] + more_bias + residuals(out + 16), params.activation));
    }
  }
}
