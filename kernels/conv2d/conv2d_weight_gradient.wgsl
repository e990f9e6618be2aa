// conv2d_weight_gradient: the gradient of a loss by the w of y = conv2d(x, w), from dy, that by y.
//
//   dw[o,c,k,l] = sum over n,i,j of x[n, g C + c, i s - p + k d, j s - p + l d] * dy[n,o,i,j]
//
// C input channels per group; g is the group of output channel o; outside the image x is 0.
// Layout: x and dy are NCHW; y is dw, O,C,KH,KW.
// Threads: a workgroup per block of 4 output channels of a group by 4 of the weights that each of them has: each value that is
// loaded is used four times. A thread adds up every WORKGROUP-th row of all of dy's images, row by row. Then half of the threads
// add the sums of the others until one is left: always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 32; // a power of two, 16 or more

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // blocks
  lines: u32, // rows of all of dy's images
  x_channels: u32, x_height: u32, x_width: u32,
  y_channels: u32, y_height: u32, y_width: u32,
  group_in: u32, group_out: u32, // channels per group
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> dy: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<mat4x4f, WORKGROUP>; // a column per weight

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = wid.x + wid.y * groups.x;
  let weights = params.group_in * params.kernel_height * params.kernel_width; // of an output channel
  let across = (weights + 3) / 4;
  let down = (params.group_out + 3) / 4;
  let group = index / (across * down);
  let o_first = index / across % down * 4;
  let q_first = index % across * 4;
  // What stands over an edge is computed from the last channel or weight, and not stored.
  let o = group * params.group_out + min(o_first + vec4u(0, 1, 2, 3), vec4u(params.group_out - 1));
  let q = min(q_first + vec4u(0, 1, 2, 3), vec4u(weights - 1));
  let c = group * params.group_in + q / (params.kernel_height * params.kernel_width);
  let k = q / params.kernel_width % params.kernel_height;
  let l = q % params.kernel_width;
  let top = vec4i(k * params.dilation_height) - params.pad_top;
  let left = vec4i(l * params.dilation_width) - params.pad_left;

  var sum = mat4x4f();
  if (index < params.count) {
    for (var line = thread; line < params.lines; line += WORKGROUP) {
      let i = line % params.y_height;
      let n = line / params.y_height;
      let row = vec4i(i32(i * params.stride_height)) + top;
      let row_inside = (row >= vec4i(0)) & (row < vec4i(i32(params.x_height)));
      let x_row = vec4i(((n * params.x_channels + c) * params.x_height) * params.x_width) + row * i32(params.x_width);
      var from_y = ((n * params.y_channels + o) * params.y_height + i) * params.y_width;
      var column = left;
      var part = mat4x4f();
      for (var j = 0u; j < params.y_width; j++) {
        let inside = row_inside & (column >= vec4i(0)) & (column < vec4i(i32(params.x_width)));
        let from_x = vec4u(select(vec4i(0), x_row + column, inside));
        let value = vec4f(f32(x[from_x.x]), f32(x[from_x.y]), f32(x[from_x.z]), f32(x[from_x.w]));
        let slope = vec4f(f32(dy[from_y.x]), f32(dy[from_y.y]), f32(dy[from_y.z]), f32(dy[from_y.w]));
        // Products with the padding are left out, not zero times what may be infinite.
        part += mat4x4f(
          select(vec4f(), value.x * slope, inside.x),
          select(vec4f(), value.y * slope, inside.y),
          select(vec4f(), value.z * slope, inside.z),
          select(vec4f(), value.w * slope, inside.w),
        );
        from_y += vec4u(1);
        column += vec4i(i32(params.stride_width));
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
  let r = thread / 4;
  let s = thread % 4;
  if (index < params.count && thread < 16 && o_first + r < params.group_out && q_first + s < weights) {
    y[(group * params.group_out + o_first + r) * weights + q_first + s] = Real(sums[0][s][r]);
  }
}
