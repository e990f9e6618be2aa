// conv2d_depthwise_weight_gradient: the gradient of a loss by the w of a depthwise y = conv2d(x, w), from dy, that by y.
//
//   dw[p,c,k,l] = sum over n,i,j of x[n, i s - p + k d, j s - p + l d, c] * dy[n,i,j,c]
//
// Each p has some of the rows i of all images, one part of them. Outside the image x is 0.
// Layout: x and dy are NHWC in vec4; y is dw, parts,C,KH,KW.
// Threads: a workgroup per row of weights of four vec4s of channels, which share lines of the cache. A thread adds up every LINES-th row
// of its part, row by row. Then half of the threads add the sums of the others until one is left for each vec4 of channels: always
// in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 32;   // a power of two
const KERNEL_WIDTH: u32 = 3; // weights of a row

const CHANNELS = 4u; // in vec4
const LINES = WORKGROUP / CHANNELS;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  lines: u32, part: u32, // rows of all of dy's images, and of a part
  channels: u32, // in vec4
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<array<vec4f, KERNEL_WIDTH>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = wid.x + wid.y * groups.x;
  let k = index % params.kernel_height;
  let blocks = (params.channels + CHANNELS - 1) / CHANNELS;
  let c = index / params.kernel_height % blocks * CHANNELS + thread % CHANNELS;
  let p = index / (params.kernel_height * blocks);
  let first = p * params.part;
  // Not returning early, so that all threads meet at the barriers.
  let is_in = c < params.channels && first < params.lines;
  let last = select(0, min(first + params.part, params.lines), is_in);
  let top = i32(k * params.dilation_height) - params.pad_top;

  var sum = array<vec4f, KERNEL_WIDTH>();
  for (var line = first + thread / CHANNELS; line < last; line += LINES) {
    let n = line / params.y_height;
    let row = i32((line - n * params.y_height) * params.stride_height) + top;
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    let start = (n * params.x_height + u32(row)) * params.x_width;
    var part = array<vec4f, KERNEL_WIDTH>();
    var at = line * params.y_width * params.channels + c;
    for (var j = 0u; j < params.y_width; j++) {
      let d = vec4f(dy[at]);
      at += params.channels;
      for (var l = 0u; l < KERNEL_WIDTH; l++) {
        let column = i32(j * params.stride_width + l * params.dilation_width) - params.pad_left;
        if (column >= 0 && column < i32(params.x_width)) {
          part[l] += vec4f(x[(start + u32(column)) * params.channels + c]) * d;
        }
      }
    }
    for (var l = 0u; l < KERNEL_WIDTH; l++) {
      sum[l] += part[l];
    }
  }
  sums[thread] = sum;
  for (var half = WORKGROUP / 2; half >= CHANNELS; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      for (var l = 0u; l < KERNEL_WIDTH; l++) {
        sums[thread][l] += sums[thread + half][l];
      }
    }
  }
  if (thread < CHANNELS && is_in) {
    let at = p * params.channels + c;
    for (var e = 0u; e < 4; e++) {
      for (var l = 0u; l < KERNEL_WIDTH; l++) {
        y[((4 * at + e) * params.kernel_height + k) * KERNEL_WIDTH + l] = Real(sums[thread][l][e]);
      }
    }
  }
}
