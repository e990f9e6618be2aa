// conv2d_input_gradient: the gradient of a loss by the x of y = conv2d(x, w), from dy, that by y.
//
//   dx[n,c,row,column] = sum over o,k,l of dy[n,o,i,j] * w[o,c,k,l], where i s + k d = row + p and j s + l d = column + p
//
// o runs over the output channels of c's group; c counts within the group in w.
// Layout: dy and dx, which is y, are NCHW; w is O,C,KH,KW.
// Threads: one per block of 4 channels of a group by 4 columns, in the order of (n, channel, row, column): each value that it
// loads is used four times. Every tap of the filter has a sum of its own over the output channels.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // blocks
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
  let across = (params.x_width + 3) / 4;
  let columns = index % across * 4 + vec4u(0, 1, 2, 3);
  let row = index / across % params.x_height;
  let block = index / (across * params.x_height);
  let deep = (params.group_in + 3) / 4;
  let group_count = params.x_channels / params.group_in;
  let c_first = block % deep * 4;
  let group = block / deep % group_count;
  let n = block / (deep * group_count);
  let o_first = group * params.group_out;
  // What stands over the edge of a group is computed from its last channel, and not stored.
  let c = min(c_first + vec4u(0, 1, 2, 3), vec4u(params.group_in - 1));

  let taps = params.kernel_height * params.kernel_width;
  let y_size = params.y_height * params.y_width;
  let y_first = (n * params.y_channels + o_first) * y_size;
  let w_first = (o_first * params.group_in + c) * taps;
  var sums = mat4x4f(); // a column for each of dx's
  for (var k = 0u; k < params.kernel_height; k++) {
    let down = i32(row + params.pad_top) - i32(k * params.dilation_height);
    let i = u32(down) / params.stride_height;
    if (down < 0 || i * params.stride_height != u32(down) || i >= params.y_height) {
      continue;
    }
    for (var l = 0u; l < params.kernel_width; l++) {
      let right = vec4i(columns + params.pad_left) - vec4i(i32(l * params.dilation_width));
      let j = vec4u(right) / params.stride_width;
      let seen = (right >= vec4i(0)) & (j * params.stride_width == vec4u(right)) & (j < vec4u(params.y_width));
      if (!any(seen)) {
        continue;
      }
      var from_y = y_first + i * params.y_width + select(vec4u(0), j, seen);
      var from_w = w_first + k * params.kernel_width + l;
      var tap = mat4x4f();
      for (var o = 0u; o < params.group_out; o++) {
        let slope = vec4f(f32(dy[from_y.x]), f32(dy[from_y.y]), f32(dy[from_y.z]), f32(dy[from_y.w]));
        let weight = vec4f(f32(w[from_w.x]), f32(w[from_w.y]), f32(w[from_w.z]), f32(w[from_w.w]));
        tap += mat4x4f(slope.x * weight, slope.y * weight, slope.z * weight, slope.w * weight);
        from_y += vec4u(y_size);
        from_w += vec4u(params.group_in * taps);
      }
      sums += mat4x4f(
        select(vec4f(), tap[0], seen.x),
        select(vec4f(), tap[1], seen.y),
        select(vec4f(), tap[2], seen.z),
        select(vec4f(), tap[3], seen.w),
      );
    }
  }
  let first = n * params.x_channels + group * params.group_in + c_first;
  for (var r = 0u; r < 4 && c_first + r < params.group_in; r++) {
    for (var s = 0u; s < 4 && columns[s] < params.x_width; s++) {
      y[((first + r) * params.x_height + row) * params.x_width + columns[s]] = Real(sums[s][r]);
    }
  }
}
