// conv2d_input_gradient: the gradient of a loss by the x of y = conv2d(x, w), from dy, that by y.
//
//   dx[n,c,row,column] = sum over o,k,l of dy[n,o,i,j] * w[o,c,k,l], where i s + k d = row + p and j s + l d = column + p
//
// o runs over the output channels of c's group; c counts within the group in w.
// Layout: dy and dx, which is y, are NCHW; w is O,C,KH,KW.
// Threads: one per element of dx, in the order of (n, c, row, column). Each tap has a sum of its own over the output channels.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // elements of dx
  x_channels: u32, x_height: u32, x_width: u32,
  y_channels: u32, y_height: u32, y_width: u32,
  group_in: u32, group_out: u32, // channels per group
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: u32, pad_left: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<Real>;
@group(0) @binding(1) var<storage, read> w: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let column = index % params.x_width;
  let row = index / params.x_width % params.x_height;
  let channel = index / (params.x_width * params.x_height) % params.x_channels;
  let n = index / (params.x_width * params.x_height * params.x_channels);
  let c = channel % params.group_in;
  let o_first = channel / params.group_in * params.group_out;

  let taps = params.kernel_height * params.kernel_width;
  let y_size = params.y_height * params.y_width;
  let y_first = (n * params.y_channels + o_first) * y_size;
  let w_first = (o_first * params.group_in + c) * taps;
  var sum = 0.0;
  for (var k = 0u; k < params.kernel_height; k++) {
    let down = i32(row + params.pad_top) - i32(k * params.dilation_height);
    let i = u32(down) / params.stride_height;
    if (down < 0 || i * params.stride_height != u32(down) || i >= params.y_height) {
      continue;
    }
    for (var l = 0u; l < params.kernel_width; l++) {
      let right = i32(column + params.pad_left) - i32(l * params.dilation_width);
      let j = u32(right) / params.stride_width;
      if (right < 0 || j * params.stride_width != u32(right) || j >= params.y_width) {
        continue;
      }
      var from_y = y_first + i * params.y_width + j;
      var from_w = w_first + k * params.kernel_width + l;
      var tap = 0.0;
      for (var o = 0u; o < params.group_out; o++) {
        tap += f32(dy[from_y]) * f32(w[from_w]);
        from_y += y_size;
        from_w += params.group_in * taps;
      }
      sum += tap;
    }
  }
  y[index] = Real(sum);
}
