// conv2d_tile: the convolution as a matrix product, one workgroup per tile of as many output pixels as output channels
// (implicit GEMM: no im2col matrix is written). For GPUs, with or without subgroups.
//
// Sixteen input channels at a time, the workgroup brings the tile's pixels and filters into its memory, and every thread
// multiplies 4 EACH pixels by 4 EACH channels in registers, so that each value it reads there is used so many times. The next
// sixteen are on their way meanwhile.
// The taps of a row of the filter follow each other in NHWC and are one run of channels, unless they are dilated; so an
// image of 3 channels wastes nothing.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O with O in vec4. Sizes of channels in Params count vec4s.
// Several products of the same shape may follow each other at the given strides (for Winograd).
// For small images, whose few tiles would leave most of a GPU idle, SLICES of a workgroup share the sum over the filter: each
// computes the whole tile over its part.
// Threads: workgroup (x, y) is the tile of pixels, z that of channels and the product; thread (i, j) of a slice has the tile's
// pixels j, j + SIDE, j + 2 SIDE, ... and its vec4s of channels i, i + SIDE, ...

const SIDE: u32 = 8; // threads across and down
const EACH: u32 = 2; // vec4s of channels per thread
const SLICES: u32 = 1; // 1, or for tiles up to 32 a power of two
const BY_STEPS: bool = false; // whether products are added up by steps, where they are f16, and the sums of steps in f32
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

const THREADS = SIDE * SIDE;  // of a slice
const ROWS = 4 * EACH;        // pixels per thread
const PIXELS = ROWS * SIDE;   // of the tile
const CHANNELS = EACH * SIDE; // of the tile, in vec4
const DEPTH = 4u;             // input channels at a time, in vec4
const LOADS = PIXELS * DEPTH / THREADS; // vec4s that a thread brings of the inputs, and as many of the weights

alias Real = f32; // what tensors are stored as
alias Part = f32; // what is multiplied, and added up over a step; f16 in conv2d_tile_f16
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

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<Real>>;
@group(0) @binding(3) var<storage, read> r: array<vec4<Real>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(5) var<uniform> params: Params;

// Pixel p of the channels d is at p ^ 2d, so that the 4 vec4s of two pixels, which are stored together, go to different banks of the memory.
var<workgroup> inputs: array<vec4<Part>, SLICES * DEPTH * PIXELS>;
var<workgroup> weights: array<array<array<vec4<Part>, CHANNELS>, DEPTH * 4>, SLICES>;

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

@compute @workgroup_size(SIDE, SIDE, SLICES)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) lid: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let slice = lid.z;
  let thread = index % THREADS;
  let first_pixel = (wid.x + wid.y * groups.x) * PIXELS;
  let first_channel = wid.z % params.channel_tiles * CHANNELS;
  let product = wid.z / params.channel_tiles;

  // Threads side by side bring the channels of one pixel and then the next, or the output channels of one filter. What
  // they bring for pixels beyond the last is not used.
  let d = thread % DEPTH;
  var image: array<u32, LOADS>;
  var top: array<i32, LOADS>;
  var left: array<i32, LOADS>;
  for (var p = 0u; p < LOADS; p++) {
    let pixel = first_pixel + (thread + p * THREADS) / DEPTH;
    let line = pixel / params.y_width;
    image[p] = line / params.y_height;
    top[p] = i32((line - image[p] * params.y_height) * params.stride_height) - params.pad_top;
    left[p] = i32((pixel - line * params.y_width) * params.stride_width) - params.pad_left;
  }

  // A filter is kernel_height x columns runs of "run" vec4s, in steps of DEPTH, of which a slice has so many in a row.
  let columns = select(params.kernel_width, 1u, params.dilation_width == 1);
  let run = params.kernel_width / columns * params.x_channels;
  let steps_of_run = (run + DEPTH - 1) / DEPTH;
  let taps = params.kernel_height * columns;
  let steps = (taps * steps_of_run + SLICES - 1) / SLICES;
  let row_length = params.x_width * params.x_channels;

  var sums: array<array<vec4f, EACH>, ROWS>;
  var parts: array<array<vec4<Part>, EACH>, ROWS>;
  var tap = slice * steps / steps_of_run;
  var c = slice * steps % steps_of_run * DEPTH;
  // One turn more than there are steps: each loads a step and multiplies the one before.
  for (var step = 0u; step <= steps; step++) {
    var next_x: array<vec4<Real>, LOADS>;
    var next_w: array<vec4<Real>, LOADS>;
    if (step < steps) {
      let end = select(0, run, tap < taps); // the last slice may have less to do
      for (var p = 0u; p < LOADS; p++) {
        let row = top[p] + i32(tap / columns * params.dilation_height);
        let x_row = product * params.x_stride + (image[p] * params.x_height + u32(row)) * row_length;
        let start = (left[p] + i32(tap % columns * params.dilation_width)) * i32(params.x_channels);
        let at = u32(start + i32(c + d)); // huge to the left of the row
        let inside = row >= 0 && row < i32(params.x_height) && at < row_length && c + d < end;
        next_x[p] = select(vec4<Real>(), x[x_row + at], inside);

        let depth = c * 4 + (thread + p * THREADS) / CHANNELS;
        let channel = first_channel + (thread + p * THREADS) % CHANNELS;
        let exists = depth < end * 4 && channel < params.y_channels;
        let at_w = product * params.w_stride + (tap * run * 4 + depth) * params.y_channels + channel;
        next_w[p] = select(vec4<Real>(), w[at_w], exists);
      }
      c += DEPTH;
      if (c >= run) {
        c = 0;
        tap++;
      }
    }
    if (step > 0) {
      for (var e = 0u; e < DEPTH; e++) {
        // Of the pixel (lid.y + p * SIDE) ^ 2e, the part that differs between threads once for all of them.
        let own = (slice * DEPTH + e) * PIXELS + (lid.y ^ (2 * e % SIDE));
        var v: array<vec4<Part>, ROWS>;
        for (var p = 0u; p < ROWS; p++) {
          v[p] = inputs[own + ((p * SIDE) ^ (2 * e / SIDE * SIDE))];
        }
        for (var q = 0u; q < EACH; q++) {
          let i = lid.x + q * SIDE;
          let w0 = weights[slice][e * 4][i];
          let w1 = weights[slice][e * 4 + 1][i];
          let w2 = weights[slice][e * 4 + 2][i];
          let w3 = weights[slice][e * 4 + 3][i];
          for (var p = 0u; p < ROWS; p++) {
            parts[p][q] += v[p].x * w0;
            parts[p][q] += v[p].y * w1;
            parts[p][q] += v[p].z * w2;
            parts[p][q] += v[p].w * w3;
          }
        }
      }
      for (var s = 0u; BY_STEPS && s < ROWS * EACH; s++) {
        sums[s / EACH][s % EACH] += vec4f(parts[s / EACH][s % EACH]);
        parts[s / EACH][s % EACH] = vec4<Part>();
      }
    }
    workgroupBarrier();
    for (var p = 0u; p < LOADS; p++) {
      inputs[(slice * DEPTH + d) * PIXELS + (((thread + p * THREADS) / DEPTH) ^ (2 * d))] = vec4<Part>(next_x[p]);
      weights[slice][(thread + p * THREADS) / CHANNELS][(thread + p * THREADS) % CHANNELS] = vec4<Part>(next_w[p]);
    }
    workgroupBarrier();
  }

  for (var s = 0u; s < ROWS * EACH; s++) {
    sums[s / EACH][s % EACH] += vec4f(parts[s / EACH][s % EACH]);
  }

  // The sums of half the slices at a time are added to those of the others, by way of where the inputs were.
  for (var half = SLICES / 2; half > 0; half /= 2) {
    for (var s = 0u; s < ROWS * EACH; s++) {
      if (slice >= half && slice < 2 * half) {
        inputs[((slice - half) * ROWS * EACH + s) * THREADS + thread] = vec4<Part>(sums[s / EACH][s % EACH]);
      }
    }
    workgroupBarrier();
    for (var s = 0u; s < ROWS * EACH; s++) {
      if (slice < half) {
        sums[s / EACH][s % EACH] += vec4f(inputs[(slice * ROWS * EACH + s) * THREADS + thread]);
      }
    }
    workgroupBarrier();
  }
  if (slice > 0) {
    return;
  }

  for (var p = 0u; p < ROWS; p++) {
    let pixel = first_pixel + lid.y + p * SIDE;
    for (var q = 0u; q < EACH; q++) {
      let c = first_channel + lid.x + q * SIDE;
      if (pixel < params.pixels && c < params.y_channels) {
        var sum = sums[p][q];
        let out = pixel * params.y_pitch + params.y_first + c;
        if (params.bias == 1) {
          sum += vec4f(b[c]);
        }
        if (params.residual == 1) {
          sum += vec4f(r[out]);
        }
        y[product * params.y_stride + out] = vec4<Real>(activate(sum, params.activation));
      }
    }
  }
}
