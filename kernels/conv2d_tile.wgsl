// conv2d_tile: the convolution as a matrix product, one workgroup per tile of 64 output pixels by 64 output channels
// (implicit GEMM: no im2col matrix is written). For GPUs, with or without subgroups.
//
// Sixteen input channels at a time, the workgroup brings 64 pixels and 64 filters into its memory, and every thread
// multiplies 8 pixels by 8 channels in registers, so that each value it reads there is used eight times.
// Epilogue: + b, + r, relu, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O with O in vec4. Sizes of channels in Params count vec4s.
// Several products of the same shape may follow each other at the given strides (for Winograd).
// Threads: workgroup (x, y) is the tile of pixels, z that of channels and the product; thread (i, j) has the tile's
// pixels j, j + 8, j + 16, ... and its vec4s of channels i and i + 8.


const SIDE = 8u;              // threads across and down
const PIXELS = 64u;           // of the tile
const CHANNELS = 16u;         // of the tile, in vec4
const DEPTH = 4u;             // input channels at a time, in vec4
const LOADS = PIXELS * DEPTH / (SIDE * SIDE);

struct Params {
  pixels: u32, // N * y_height * y_width
  x_height: u32, x_width: u32, x_channels: u32,
  y_height: u32, y_width: u32, y_channels: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  channel_tiles: u32,
  x_stride: u32, w_stride: u32, y_stride: u32, // vec4s from one product to the next
  bias: u32, residual: u32, relu: u32, // 1 if asked for: not constants, since every further pipeline takes long to compile
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> r: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
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
  let product = wid.z / params.channel_tiles;

  // This thread loads one pixel of the tile for all DEPTH vec4s: PIXELS is the number of threads.
  let own = first_pixel + thread;
  let image = own / (params.y_height * params.y_width);
  let top = i32(own / params.y_width % params.y_height * params.stride_height) - params.pad_top;
  let left = i32(own % params.y_width * params.stride_width) - params.pad_left;

  var sums: array<array<vec4f, 2>, 8>;
  for (var k = 0u; k < params.kernel_height; k++) {
    for (var l = 0u; l < params.kernel_width; l++) {
      let row = top + i32(k * params.dilation_height);
      let column = left + i32(l * params.dilation_width);
      let inside = own < params.pixels
        && row >= 0 && row < i32(params.x_height) && column >= 0 && column < i32(params.x_width);
      let position = (image * params.x_height + u32(row)) * params.x_width + u32(column);
      let x_first = product * params.x_stride + select(0u, position * params.x_channels, inside);
      let w_first = product * params.w_stride
        + (k * params.kernel_width + l) * params.x_channels * 4 * params.y_channels;

      for (var c = 0u; c < params.x_channels; c += DEPTH) {
        for (var d = 0u; d < LOADS; d++) {
          let here = inside && c + d < params.x_channels;
          inputs[d][thread] = select(vec4f(), x[select(0u, x_first + c + d, here)], here);
        }
        for (var load = 0u; load < LOADS; load++) {
          let depth = (thread + load * SIDE * SIDE) / CHANNELS;
          let channel = first_channel + thread % CHANNELS;
          let here = c * 4 + depth < params.x_channels * 4 && channel < params.y_channels;
          let at = w_first + (c * 4 + depth) * params.y_channels + channel;
          weights[depth][thread % CHANNELS] = select(vec4f(), w[select(0u, at, here)], here);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
          for (var e = 0u; e < 4; e++) {
            let w0 = weights[d * 4 + e][lid.x];
            let w1 = weights[d * 4 + e][lid.x + SIDE];
            for (var p = 0u; p < 8; p++) {
              let v = inputs[d][lid.y + p * SIDE][e];
              sums[p][0] += v * w0;
              sums[p][1] += v * w1;
            }
          }
        }
        workgroupBarrier();
      }
    }
  }

  for (var p = 0u; p < 8; p++) {
    let pixel = first_pixel + lid.y + p * SIDE;
    for (var q = 0u; q < 2; q++) {
      let channel = first_channel + lid.x + q * SIDE;
      if (pixel >= params.pixels || channel >= params.y_channels) {
        continue;
      }
      let out = product * params.y_stride + pixel * params.y_channels + channel;
      var sum = sums[p][q];
      if (params.bias == 1) {
        sum += b[channel];
      }
      if (params.residual == 1) {
        sum += r[out];
      }
      y[out] = select(sum, relu(sum), params.relu == 1);
    }
  }
}
