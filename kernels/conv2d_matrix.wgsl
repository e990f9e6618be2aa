enable f16;
enable chromium_experimental_subgroup_matrix;
// conv2d_matrix: the convolution as a matrix product on a GPU's matrix units (tensor cores), one workgroup per tile of 64
// output pixels by 64 output channels (implicit GEMM: no im2col matrix is written).
//
// Thirty-two input channels at a time, the workgroup brings the tile's pixels and filters into its memory. Each of its
// four subgroups multiplies 32 pixels by 32 channels: 2x2 products of 16x16 matrices, f16 with f32 sums.
// The taps of a row of the filter follow each other in NHWC and are one run of channels, unless they are dilated.
// Epilogue: + b, + r, relu, each if asked for.
// Layout: x, r, y are NHWC in vec4; w is KH,KW,C,O with O in vec4; all of them f16. Sizes of channels in Params count vec4s.
// Threads: workgroup (x, y) is the tile of pixels, z that of channels; subgroup s has its quarter (s / 2, s % 2).

// Which subgroup a thread is in is the same for all its threads, but compilers cannot know.
diagnostic(off, chromium.subgroup_matrix_uniformity);

const SUBGROUP: u32 = 32;

const THREADS = 4 * SUBGROUP;
const TILE = 64u;     // pixels, and channels
const DEPTH = 8u;     // input channels at a time, in vec4
const SIDE = 16u;     // of a matrix
const LOADS = TILE * DEPTH / THREADS;

struct Params {
  pixels: u32, // N * y_height * y_width
  x_height: u32, x_width: u32, x_channels: u32,
  y_height: u32, y_width: u32, y_channels: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  bias: u32, residual: u32, relu: u32, // 1 if asked for
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f16>>;
@group(0) @binding(3) var<storage, read> r: array<vec4<f16>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f16>>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> inputs: array<f16, TILE * DEPTH * 4>;  // pixels by channels
var<workgroup> weights: array<f16, DEPTH * 4 * TILE>; // input by output channels
var<workgroup> results: array<f32, 4 * SIDE * SIDE>;  // one matrix per subgroup

alias Left = subgroup_matrix_left<f16, SIDE, SIDE>;
alias Right = subgroup_matrix_right<f16, SIDE, SIDE>;
alias Result = subgroup_matrix_result<f32, SIDE, SIDE>;

// Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
fn relu(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  return select(v, vec4f(), (bits >= vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u)));
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_pixel = (wid.x + wid.y * groups.x) * TILE;
  let first_channel = wid.z * (TILE / 4);
  let subgroup = thread / SUBGROUP;
  let lane = thread % SUBGROUP;
  let top_left = vec2u(subgroup / 2, subgroup % 2) * 32; // pixel and channel of this subgroup's quarter

  // Of the inputs this thread brings one pixel, of the weights one vec4 of channels.
  let own = first_pixel + thread % TILE;
  let image = own / (params.y_height * params.y_width);
  let top = i32(own / params.y_width % params.y_height * params.stride_height) - params.pad_top;
  let left = i32(own % params.y_width * params.stride_width) - params.pad_left;
  let channel = first_channel + thread % (TILE / 4);

  // A filter is kernel_height x columns runs of "run" vec4s, in steps of DEPTH.
  let columns = select(params.kernel_width, 1u, params.dilation_width == 1);
  let run = params.kernel_width / columns * params.x_channels;
  let steps_of_run = (run + DEPTH - 1) / DEPTH;

  var sum00: Result;
  var sum01: Result;
  var sum10: Result;
  var sum11: Result;
  for (var step = 0u; step < params.kernel_height * columns * steps_of_run; step++) {
    let c = step % steps_of_run * DEPTH;
    let tap = step / steps_of_run;
    let row = top + i32(tap / columns * params.dilation_height);
    let start = (left + i32(tap % columns * params.dilation_width)) * i32(params.x_channels);
    let row_exists = own < params.pixels && row >= 0 && row < i32(params.x_height);
    let x_row = (image * params.x_height + u32(row)) * params.x_width * params.x_channels;
    for (var load = 0u; load < LOADS; load++) {
      let d = (thread + load * THREADS) / TILE;
      let at = u32(start + i32(c + d)); // huge to the left of the row
      let here = row_exists && c + d < run && at < params.x_width * params.x_channels;
      let values = select(vec4<f16>(), x[select(0u, x_row + at, here)], here);
      for (var e = 0u; e < 4; e++) {
        inputs[(thread % TILE) * DEPTH * 4 + d * 4 + e] = values[e];
      }
    }
    let w_first = tap * run * 4 * params.y_channels;
    for (var load = 0u; load < LOADS; load++) {
      let depth = (thread + load * THREADS) / (TILE / 4);
      let here = c * 4 + depth < run * 4 && channel < params.y_channels;
      let at = w_first + (c * 4 + depth) * params.y_channels + channel;
      let values = select(vec4<f16>(), w[select(0u, at, here)], here);
      for (var e = 0u; e < 4; e++) {
        weights[depth * TILE + thread % (TILE / 4) * 4 + e] = values[e];
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < DEPTH * 4; k += SIDE) {
      let x_at = top_left.x * DEPTH * 4 + k;
      let w_at = k * TILE + top_left.y;
      let x0 = subgroupMatrixLoad<Left, row_major>(&inputs, x_at, DEPTH * 4);
      let x1 = subgroupMatrixLoad<Left, row_major>(&inputs, x_at + SIDE * DEPTH * 4, DEPTH * 4);
      let w0 = subgroupMatrixLoad<Right, row_major>(&weights, w_at, TILE);
      let w1 = subgroupMatrixLoad<Right, row_major>(&weights, w_at + SIDE, TILE);
      sum00 = subgroupMatrixMultiplyAccumulate(x0, w0, sum00);
      sum01 = subgroupMatrixMultiplyAccumulate(x0, w1, sum01);
      sum10 = subgroupMatrixMultiplyAccumulate(x1, w0, sum10);
      sum11 = subgroupMatrixMultiplyAccumulate(x1, w1, sum11);
    }
    workgroupBarrier();
  }

  // Matrix by matrix through the workgroup's memory, since what a thread holds of one is not defined.
  for (var part = 0u; part < 4; part++) {
    let to = subgroup * SIDE * SIDE;
    switch (part) {
      case 0: { subgroupMatrixStore<row_major>(&results, to, sum00, SIDE); }
      case 1: { subgroupMatrixStore<row_major>(&results, to, sum01, SIDE); }
      case 2: { subgroupMatrixStore<row_major>(&results, to, sum10, SIDE); }
      default: { subgroupMatrixStore<row_major>(&results, to, sum11, SIDE); }
    }
    workgroupBarrier();
    for (var i = lane; i < SIDE * SIDE / 4; i += SUBGROUP) {
      let pixel = first_pixel + top_left.x + part / 2 * SIDE + i / 4;
      let c = first_channel + (top_left.y + part % 2 * SIDE) / 4 + i % 4;
      if (pixel < params.pixels && c < params.y_channels) {
        let from_result = to + i * 4;
        var sum = vec4f(results[from_result], results[from_result + 1], results[from_result + 2], results[from_result + 3]);
        let out = pixel * params.y_channels + c;
        if (params.bias == 1) {
          sum += vec4f(b[c]);
        }
        if (params.residual == 1) {
          sum += vec4f(r[out]);
        }
        y[out] = vec4<f16>(select(sum, relu(sum), params.relu == 1));
      }
    }
    workgroupBarrier();
  }
}
