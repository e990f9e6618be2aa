enable subgroups;
// conv2d_subgroup: the convolution as a matrix product in registers, one subgroup per tile of
// SUBGROUP * PIXELS output pixels by CHANNELS * 4 output channels (implicit GEMM: no im2col matrix is written).
//
// Every lane holds the sums of PIXELS pixels for all channels of the tile. Of the weights of one input channel each lane
// loads a part and the others get it by shuffles, so that memory is read once per subgroup. No workgroup memory.
// Epilogue: + b, + r, relu, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O with O in vec4. Sizes of channels in Params count vec4s.
// Several products of the same shape may follow each other at the given strides (for Winograd).
// Threads: workgroup (x, y) is the tile of pixels, z that of channels and the product; lane q has the tile's pixels
// q, SUBGROUP + q, 2 * SUBGROUP + q, ...

const SUBGROUP: u32 = 8;
const PIXELS: u32 = 4;
const CHANNELS: u32 = 8;

// Loads per lane for the CHANNELS vec4 of one input channel.
const LOADS = (CHANNELS + SUBGROUP - 1) / SUBGROUP;

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

// Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
fn relu(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  return select(v, vec4f(), (bits >= vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u)));
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
    image[p] = pixel / (params.y_height * params.y_width);
    top[p] = i32(pixel / params.y_width % params.y_height * params.stride_height) - params.pad_top;
    left[p] = i32(pixel % params.y_width * params.stride_width) - params.pad_left;
  }

  var sums: array<array<vec4f, CHANNELS>, PIXELS>;
  if (params.bias == 1) {
    for (var q = 0u; q < CHANNELS; q++) {
      let bias = b[first_channel + q];
      for (var p = 0u; p < PIXELS; p++) {
        sums[p][q] = bias;
      }
    }
  }
  var w_row = product * params.w_stride + first_channel + lane;
  for (var k = 0u; k < params.kernel_height; k++) {
    for (var l = 0u; l < params.kernel_width; l++) {
      var x_first: array<u32, PIXELS>;
      var inside: array<bool, PIXELS>;
      for (var p = 0u; p < PIXELS; p++) {
        let row = top[p] + i32(k * params.dilation_height);
        let column = left[p] + i32(l * params.dilation_width);
        inside[p] = row >= 0 && row < i32(params.x_height) && column >= 0 && column < i32(params.x_width);
        let position = (image[p] * params.x_height + u32(row)) * params.x_width + u32(column);
        x_first[p] = product * params.x_stride + select(0u, position * params.x_channels, inside[p]);
      }
      for (var c = 0u; c < params.x_channels; c++) {
        var inputs: array<vec4f, PIXELS>;
        for (var p = 0u; p < PIXELS; p++) {
          inputs[p] = select(vec4f(), x[x_first[p] + c], inside[p]);
        }
        for (var e = 0u; e < 4; e++) {
          var loaded: array<vec4f, LOADS>;
          for (var load = 0u; load < LOADS; load++) {
            loaded[load] = w[w_row + load * SUBGROUP];
          }
          w_row += params.y_channels;
          for (var q = 0u; q < CHANNELS; q++) {
            let weights = subgroupShuffle(loaded[q / SUBGROUP], q % SUBGROUP);
            for (var p = 0u; p < PIXELS; p++) {
              sums[p][q] += inputs[p][e] * weights;
            }
          }
        }
      }
    }
  }

  for (var p = 0u; p < PIXELS; p++) {
    let pixel = first_pixel + p * SUBGROUP;
    for (var q = 0u; q < CHANNELS; q++) {
      let channel = first_channel + q;
      if (pixel >= params.pixels || channel >= params.y_channels) {
        continue;
      }
      let out = product * params.y_stride + pixel * params.y_channels + channel;
      var sum = sums[p][q];
      if (params.residual == 1) {
        sum += r[out];
      }
      y[out] = select(sum, relu(sum), params.relu == 1);
    }
  }
}
