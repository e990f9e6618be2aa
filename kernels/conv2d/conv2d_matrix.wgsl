enable f16;
enable chromium_experimental_subgroup_matrix;
enable subgroup_size_control;
// conv2d_matrix: the convolution as a matrix product on a GPU's matrix units (tensor cores), one workgroup per tile of PIXELS
// output pixels by PIXELS output channels (implicit GEMM: no im2col matrix is written).
//
// Some input channels at a time, the workgroup brings the tile's pixels and filters into its memory; the next ones are on
// their way meanwhile. Each of its four subgroups multiplies a quarter of the tile: matrices of M x K by K x N, with f32 sums.
// The taps of a row of the filter follow each other in NHWC and are one run of channels, unless they are dilated.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O with O in vec4; all of them Real. Sizes of channels in Params count vec4s.
// Several products may follow each other at the given strides.
// Threads: workgroup (x, y) is the tile of pixels, z that of channels and the product; subgroup s has the tile's
// quarter (s / 2, s % 2).
// For devices that differ, engine/graph/matrices.ts changes the aliases, loads and stores, and subgroup_size.

// Which subgroup a thread is in is the same for all its threads, but compilers cannot know.
diagnostic(off, chromium.subgroup_matrix_uniformity);

const SUBGROUP: u32 = 32;
const PIXELS: u32 = 64;  // of the tile, and as many channels: 64 or 128
const M: u32 = 16;       // pixels of a matrix
const N: u32 = 16;       // its output channels
const K: u32 = 16;       // the input channels that it sums over
const DEPTH: u32 = 8;    // input channels at a time, in vec4: a multiple of K
const AT_ONCE: u32 = 16; // pixels of a quarter whose sums are in the workgroup's memory at a time, in the end
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

const THREADS = 4 * SUBGROUP;
const CHANNELS = PIXELS / 4; // in vec4
const LOADS = PIXELS * DEPTH / THREADS; // vec4s that a thread brings of the inputs, and as many of the weights

const HALF = PIXELS / 2;  // sides of a subgroup's quarter
const DOWN = HALF / M;    // its matrices
const ACROSS = HALF / N;
const GROUP = AT_ONCE / M * ACROSS; // those that go through the workgroup's memory at a time

// Rows in the workgroup's memory, longer than needed, so that those of a matrix begin in different banks.
const X_ROW = 4 * DEPTH + 8;
const W_ROW = PIXELS + 8;
const Y_ROW = HALF + 4;

alias Real = f16;
alias Factor = f16; // what is multiplied
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

var<workgroup> inputs: array<Factor, PIXELS * X_ROW>;      // pixels by channels
var<workgroup> weights: array<Factor, 4 * DEPTH * W_ROW>;  // input by output channels
var<workgroup> results: array<f32, 4 * AT_ONCE * Y_ROW>;   // of each subgroup, pixels by channels

alias Left = subgroup_matrix_left<Factor, K, M>;
alias Right = subgroup_matrix_right<Factor, N, K>;
alias Result = subgroup_matrix_result<f32, N, M>;

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

@compute @workgroup_size(4 * SUBGROUP) @subgroup_size(SUBGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_pixel = (wid.x + wid.y * groups.x) * PIXELS;
  let first_channel = wid.z % params.channel_tiles * CHANNELS;
  let product = wid.z / params.channel_tiles;
  let subgroup = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let quarter = vec2u(subgroup / 2, subgroup % 2) * HALF; // its first pixel and channel

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
  let column = thread % CHANNELS;
  let channel = first_channel + column;

  // A filter is kernel_height x columns runs of "run" vec4s, in steps of DEPTH.
  let columns = select(params.kernel_width, 1u, params.dilation_width == 1);
  let run = params.kernel_width / columns * params.x_channels;
  let steps_of_run = (run + DEPTH - 1) / DEPTH;
  let steps = params.kernel_height * columns * steps_of_run;
  let row_length = params.x_width * params.x_channels;

  var sums: array<Result, DOWN * ACROSS>;
  var tap = 0u;
  var c = 0u;
  // One turn more than there are steps: each loads a step and multiplies the one before.
  for (var step = 0u; step <= steps; step++) {
    var next_x: array<vec4<Real>, LOADS>;
    var next_w: array<vec4<Real>, LOADS>;
    if (step < steps) {
      for (var p = 0u; p < LOADS; p++) {
        let row = top[p] + i32(tap / columns * params.dilation_height);
        let x_row = product * params.x_stride + (image[p] * params.x_height + u32(row)) * row_length;
        let start = (left[p] + i32(tap % columns * params.dilation_width)) * i32(params.x_channels);
        let at = u32(start + i32(c + d)); // huge to the left of the row
        let inside = row >= 0 && row < i32(params.x_height) && at < row_length && c + d < run;
        next_x[p] = select(vec4<Real>(), x[x_row + at], inside);

        let depth = c * 4 + (thread + p * THREADS) / CHANNELS;
        let exists = depth < run * 4 && channel < params.y_channels;
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
      for (var k = 0u; k < 4 * DEPTH; k += K) {
        var rights: array<Right, ACROSS>;
        for (var q = 0u; q < ACROSS; q++) {
          let at = k * W_ROW + quarter.y + q * N;
          rights[q] = subgroupMatrixLoad<Right, row_major>(&weights, at, W_ROW);
        }
        for (var p = 0u; p < DOWN; p++) {
          let at = (quarter.x + p * M) * X_ROW + k;
          let left = subgroupMatrixLoad<Left, row_major>(&inputs, at, X_ROW);
          for (var q = 0u; q < ACROSS; q++) {
            sums[p * ACROSS + q] = subgroupMatrixMultiplyAccumulate(left, rights[q], sums[p * ACROSS + q]);
          }
        }
      }
    }
    workgroupBarrier();
    for (var p = 0u; p < LOADS; p++) {
      let x_at = (thread + p * THREADS) / DEPTH * X_ROW + d * 4;
      let w_at = (thread + p * THREADS) / CHANNELS * W_ROW + column * 4;
      for (var e = 0u; e < 4; e++) {
        inputs[x_at + e] = Factor(next_x[p][e]);
        weights[w_at + e] = Factor(next_w[p][e]);
      }
    }
    workgroupBarrier();
  }

  // Through the workgroup's memory, since what a thread holds of a matrix is not defined. The next ones move up: an index
  // would have the matrices put where it can reach them.
  let own = subgroup * AT_ONCE * Y_ROW;
  for (var first = 0u; first < HALF; first += AT_ONCE) {
    for (var m = 0u; m < GROUP; m++) {
      let at = own + m / ACROSS * M * Y_ROW + m % ACROSS * N;
      subgroupMatrixStore<row_major>(&results, at, sums[m], Y_ROW);
    }
    for (var m = GROUP; m < DOWN * ACROSS; m++) {
      sums[m - GROUP] = sums[m];
    }
    workgroupBarrier();
    for (var k = lane; k < AT_ONCE * HALF / 4; k += SUBGROUP) {
      let row = k / (HALF / 4);
      let column = k % (HALF / 4);
      let pixel = first_pixel + quarter.x + first + row;
      let c = first_channel + quarter.y / 4 + column;
      if (pixel < params.pixels && c < params.y_channels) {
        let i = own + row * Y_ROW + column * 4;
        var sum = vec4f(results[i], results[i + 1], results[i + 2], results[i + 3]);
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
    workgroupBarrier();
  }
}
