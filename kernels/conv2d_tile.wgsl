// conv2d_tile: the convolution as a matrix product, one workgroup per tile of 8 SIDE output pixels by 8 SIDE output
// channels (implicit GEMM: no im2col matrix is written). For GPUs, with or without subgroups.
//
// Sixteen input channels at a time, the workgroup brings the tile's pixels and filters into its memory, and every thread
// multiplies 8 pixels by 8 channels in registers, so that each value it reads there is used eight times.
// The taps of a row of the filter follow each other in NHWC and are one run of channels, unless they are dilated; so an
// image of 3 channels wastes nothing.
// Epilogue: + b, + r, relu, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O with O in vec4. Sizes of channels in Params count vec4s.
// Several products of the same shape may follow each other at the given strides (for Winograd). Each may be cut into
// "splits" partial sums, one after the other in y (for small images, which would leave most of a GPU idle).
// Threads: workgroup (x, y) is the tile of pixels, z that of channels, the split and the product; thread (i, j) has the
// tile's pixels j, j + SIDE, j + 2 SIDE, ... and its vec4s of channels i and i + SIDE.

const SIDE: u32 = 8; // threads across and down

const THREADS = SIDE * SIDE;
const PIXELS = 8 * SIDE;   // of the tile
const CHANNELS = 2 * SIDE; // of the tile, in vec4
const DEPTH = 4u;          // input channels at a time, in vec4
const LOADS = PIXELS * DEPTH / THREADS;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  pixels: u32, // N * y_height * y_width
  x_height: u32, x_width: u32, x_channels: u32,
  y_height: u32, y_width: u32, y_channels: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  channel_tiles: u32,
  splits: u32,
  x_stride: u32, w_stride: u32, y_stride: u32, // vec4s from one product to the next; y_stride also between splits
  bias: u32, residual: u32, relu: u32, // 1 if asked for: not constants, since every further pipeline takes long to compile
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<Real>>;
@group(0) @binding(3) var<storage, read> r: array<vec4<Real>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> inputs: array<array<vec4f, PIXELS>, DEPTH>;
var<workgroup> weights: array<array<vec4f, CHANNELS>, DEPTH * 4>;

// Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
fn relu(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  return select(v, vec4f(), (bits >= vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u)));
}

@compute @workgroup_size(SIDE, SIDE)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) lid: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_pixel = (wid.x + wid.y * groups.x) * PIXELS;
  let first_channel = wid.z % params.channel_tiles * CHANNELS;
  let part = wid.z / params.channel_tiles;
  let product = part / params.splits;

  // Of the inputs this thread brings one pixel, of the weights one vec4 of channels.
  let own = first_pixel + thread % PIXELS;
  let image = own / (params.y_height * params.y_width);
  let top = i32(own / params.y_width % params.y_height * params.stride_height) - params.pad_top;
  let left = i32(own % params.y_width * params.stride_width) - params.pad_left;
  let channel = first_channel + thread % CHANNELS;

  // A filter is kernel_height x columns runs of "run" vec4s, in steps of DEPTH.
  let columns = select(params.kernel_width, 1u, params.dilation_width == 1);
  let run = params.kernel_width / columns * params.x_channels;
  let steps_of_run = (run + DEPTH - 1) / DEPTH;
  let steps = params.kernel_height * columns * steps_of_run;
  let first_step = part % params.splits * steps / params.splits;
  let end_step = (part % params.splits + 1) * steps / params.splits;

  var sums: array<array<vec4f, 2>, 8>;
  for (var step = first_step; step < end_step; step++) {
    let c = step % steps_of_run * DEPTH;
    let tap = step / steps_of_run;
    let row = top + i32(tap / columns * params.dilation_height);
    let start = (left + i32(tap % columns * params.dilation_width)) * i32(params.x_channels);
    let row_exists = own < params.pixels && row >= 0 && row < i32(params.x_height);
    let x_row = product * params.x_stride + (image * params.x_height + u32(row)) * params.x_width * params.x_channels;
    for (var load = 0u; load < LOADS; load++) {
      let d = (thread + load * THREADS) / PIXELS;
      let at = u32(start + i32(c + d)); // huge to the left of the row
      let here = row_exists && c + d < run && at < params.x_width * params.x_channels;
      inputs[d][thread % PIXELS] = select(vec4f(), vec4f(x[select(0u, x_row + at, here)]), here);
    }
    let w_first = product * params.w_stride + tap * run * 4 * params.y_channels;
    for (var load = 0u; load < LOADS; load++) {
      let depth = (thread + load * THREADS) / CHANNELS;
      let here = c * 4 + depth < run * 4 && channel < params.y_channels;
      let at = w_first + (c * 4 + depth) * params.y_channels + channel;
      weights[depth][thread % CHANNELS] = select(vec4f(), vec4f(w[select(0u, at, here)]), here);
    }
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      var v: array<vec4f, 8>;
      for (var p = 0u; p < 8; p++) {
        v[p] = inputs[d][lid.y + p * SIDE];
      }
      for (var e = 0u; e < 4; e++) {
        let w0 = weights[d * 4 + e][lid.x];
        let w1 = weights[d * 4 + e][lid.x + SIDE];
        for (var p = 0u; p < 8; p++) {
          sums[p][0] += v[p][e] * w0;
          sums[p][1] += v[p][e] * w1;
        }
      }
    }
    workgroupBarrier();
  }

  for (var p = 0u; p < 8; p++) {
    let pixel = first_pixel + lid.y + p * SIDE;
    for (var q = 0u; q < 2; q++) {
      let c = first_channel + lid.x + q * SIDE;
      if (pixel >= params.pixels || c >= params.y_channels) {
        continue;
      }
      let out = pixel * params.y_channels + c;
      var sum = sums[p][q];
      if (params.bias == 1) {
        sum += vec4f(b[c]);
      }
      if (params.residual == 1) {
        sum += vec4f(r[out]);
      }
      y[part * params.y_stride + out] = vec4<Real>(select(sum, relu(sum), params.relu == 1));
    }
  }
}
