enable subgroups;
// conv2d_subgroup: the convolution as a matrix product in registers, one subgroup per tile of
// SUBGROUP * PIXELS output pixels by CHANNELS * 4 output channels (implicit GEMM: no im2col matrix is written).
//
// Every lane holds the sums of PIXELS pixels for all channels of the tile. Of the weights of one input channel each lane
// loads a part and the others get it by shuffles, so that memory is read once per subgroup. No workgroup memory.
// The taps of a row of the filter follow each other in NHWC and are one run of channels, unless they are dilated.
// Epilogue: + b, + r, an activation, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O cut into the tiles' channels, so that a tile reads it from one end to the
// other, and these into matrices of 4x4, so that a lane does too. Sizes of channels in Params count vec4s.
// Several products of the same shape may follow each other at the given strides (for Winograd).
// Threads: workgroup (x, y) is the tile of pixels, z that of channels and the product; lane q has the tile's pixels
// q, SUBGROUP + q, 2 * SUBGROUP + q, ...

const SUBGROUP: u32 = 8;
const PIXELS: u32 = 4;
const CHANNELS: u32 = 8; // or 2
const UNROLL: bool = false; // the loads of weights: compilers for which each is a loop over the lanes take seconds
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

// Loads per lane for the matrices of CHANNELS vec4s of channels.
const LOADS = (4 * CHANNELS + SUBGROUP - 1) / SUBGROUP;

// A place in a row that stays outside whatever is added.
const OUTSIDE = -0x40000000i;

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

// What a lane holds: the sums of its pixels, and of what is multiplied next the inputs of its pixels, four channels each,
// and a part of the weights of these channels.
var<private> sums: array<array<vec4f, CHANNELS>, PIXELS>;
var<private> inputs: array<vec4f, PIXELS>;
var<private> loaded: array<vec4f, LOADS>;

// Adds the products to the q-th vec4 of sums. Four rows of weights at once keep sums in registers for longer.
fn multiply(q: u32) {
  let rows = loaded[4 * q / SUBGROUP];
  let source = 4 * q % SUBGROUP;
  let weights = mat4x4f(
    subgroupShuffle(rows, source), subgroupShuffle(rows, source + 1),
    subgroupShuffle(rows, source + 2), subgroupShuffle(rows, source + 3),
  );
  for (var p = 0u; p < PIXELS; p++) {
    sums[p][q] += weights * inputs[p];
  }
}

// Writes a vec4 of channels of a pixel, with what is added to the sum, activated.
fn store(pixel: u32, out: u32, sum: vec4f) {
  if (pixel < params.pixels) {
    var v = sum;
    if (params.residual == 1) {
      v += vec4f(r[out]);
    }
    y[out] = vec4<Real>(activate(v, params.activation));
  }
}

@compute @workgroup_size(SUBGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_pixel = (wid.x + wid.y * groups.x) * SUBGROUP * PIXELS + lane;
  let first_channel = wid.z % params.channel_tiles * CHANNELS;
  let product = wid.z / params.channel_tiles;
  var image: array<u32, PIXELS>;
  var top: array<i32, PIXELS>;
  var left: array<i32, PIXELS>;
  for (var p = 0u; p < PIXELS; p++) {
    let pixel = first_pixel + p * SUBGROUP;
    let line = pixel / params.y_width;
    image[p] = line / params.y_height;
    top[p] = i32((line - image[p] * params.y_height) * params.stride_height) - params.pad_top;
    left[p] = i32((pixel - line * params.y_width) * params.stride_width) - params.pad_left;
  }

  // A filter is kernel_height x columns runs of "run" vec4s.
  let columns = select(params.kernel_width, 1u, params.dilation_width == 1);
  let run = params.kernel_width / columns * params.x_channels;
  let row_length = params.x_width * params.x_channels;
  let width = min(CHANNELS, params.y_channels - first_channel);
  let terms = 4 * params.kernel_height * params.kernel_width * params.x_channels;
  var w_first = product * params.w_stride + first_channel * terms + lane;
  for (var k = 0u; k < params.kernel_height; k++) {
    for (var l = 0u; l < columns; l++) {
      var x_row: array<u32, PIXELS>;
      var start: array<i32, PIXELS>;
      for (var p = 0u; p < PIXELS; p++) {
        let row = top[p] + i32(k * params.dilation_height);
        let exists = row >= 0 && row < i32(params.x_height);
        x_row[p] = product * params.x_stride + (image[p] * params.x_height + u32(row)) * row_length;
        start[p] = select(OUTSIDE, (left[p] + i32(l * params.dilation_width)) * i32(params.x_channels), exists);
      }
      for (var c = 0u; c < run; c++) {
        for (var p = 0u; p < PIXELS; p++) {
          let at = u32(start[p] + i32(c)); // huge to the left of the row
          let inside = at < row_length;
          inputs[p] = select(vec4f(), vec4f(x[select(0u, x_row[p] + at, inside)]), inside);
        }
        if (!UNROLL && LOADS > 1) {
          // A loop, since the code would not fit the instruction cache of a CPU otherwise.
          for (var at = w_first; at < w_first + LOADS * SUBGROUP; at += SUBGROUP) {
            for (var load = 0u; load < LOADS - 1; load++) {
              loaded[load] = loaded[load + 1];
            }
            loaded[LOADS - 1] = vec4f(w[at]);
          }
        } else {
          for (var load = 0u; load < LOADS; load++) {
            loaded[load] = vec4f(w[w_first + load * SUBGROUP]);
          }
        }
        w_first += 4 * width;
        // CHANNELS calls and no loop: compilers do not unroll one with so much in it.
        multiply(0);
        multiply(1);
        if (CHANNELS > 2) {
          multiply(2);
          multiply(3);
          multiply(4);
          multiply(5);
          multiply(6);
          multiply(7);
        }
      }
    }
  }

  let first_out = product * params.y_stride + params.y_first;
  // One vec4 of channels at a time, the next moving up: compilers would unroll a loop with indices of its own, and take several
  // times as long for the whole kernel.
  for (var channel = first_channel; channel < first_channel + width; channel++) {
    let first = first_out + channel;
    var bias = vec4f();
    if (params.bias == 1) {
      bias = vec4f(b[channel]);
    }
    for (var pixel = first_pixel; pixel < first_pixel + PIXELS * SUBGROUP; pixel += SUBGROUP) {
      store(pixel, first + pixel * params.y_pitch, sums[0][0] + bias);
      for (var p = 0u; p < PIXELS - 1; p++) {
        sums[p][0] = sums[p + 1][0];
      }
    }
    for (var p = 0u; p < PIXELS; p++) {
      for (var q = 0u; q < CHANNELS - 1; q++) {
        sums[p][q] = sums[p][q + 1];
      }
    }
  }
}
