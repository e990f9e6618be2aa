// conv2d_depthwise_weight_gradient: the gradient of a loss by the w of a depthwise y = conv2d(x, w), from dy, that by y.
//
//   dw[c,k,l] = sum over n,i,j of x[n, i s - p + k d, j s - p + l d, c] * dy[n,i,j,c]
//
// Outside the image x is 0. Layout: x and dy are NHWC in vec4; y is dw, C,KH,KW.
// Threads: a workgroup per weight of four channels. A thread adds up every WORKGROUP-th row of all of dy's images, row by row.
// Then half of the threads add the sums of the others until one is left: always in the same order, and with the error of sums
// that are much shorter.

const WORKGROUP: u32 = 32; // a power of two

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // weights of four channels
  lines: u32, // rows of all of dy's images
  channels: u32, // in vec4
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = wid.x + wid.y * groups.x;
  let area = params.kernel_height * params.kernel_width;
  let c = index / area;
  let tap = index % area;
  let k = tap / params.kernel_width;
  let l = tap % params.kernel_width;
  let top = i32(k * params.dilation_height) - params.pad_top;
  let left = i32(l * params.dilation_width) - params.pad_left;
  // Columns of dy whose product is with a pixel of the image: from the first on, but for those from "end" on.
  let stride = i32(params.stride_width);
  let first = u32(max(0, (stride - 1 - left) / stride));
  let end = min(params.y_width, u32(max(0, (i32(params.x_width) - 1 - left + stride) / stride)));

  var sum = vec4f();
  if (index < params.count) {
    for (var line = thread; line < params.lines; line += WORKGROUP) {
      let n = line / params.y_height;
      let i = line - n * params.y_height;
      let row = i32(i * params.stride_height) + top;
      if (row < 0 || row >= i32(params.x_height)) {
        continue;
      }
      let pixel = i32((n * params.x_height + u32(row)) * params.x_width) + left + i32(first) * stride;
      var from_x = u32(pixel) * params.channels + c;
      var from_y = (line * params.y_width + first) * params.channels + c;
      var part = vec4f();
      for (var j = first; j < end; j++) {
        part += vec4f(x[from_x]) * vec4f(dy[from_y]);
        from_x += params.stride_width * params.channels;
        from_y += params.channels;
      }
      sum += part;
    }
  }
  sums[thread] = sum;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
  }
  workgroupBarrier();
  if (index < params.count && thread < 4) {
    y[(4 * c + thread) * area + tap] = Real(sums[0][thread]);
  }
}
