// avgpool2d: y[n,c,i,j] = (sum of x over the window) / divisor.
//
// The divisor is the number of the window's elements inside the image, that of those inside the padded image (the padding
// counts, what ceilMode adds beyond it does not), or a given number.
// Layout: NCHW, with N and C as one dimension planes.
// Threads: one per output element, in the order of (plane, i, j).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // output elements
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  divisor: u32, // 0: by the window
  count_include_pad: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let j = index % params.y_width;
  let i = index / params.y_width % params.y_height;
  let plane = index / (params.y_width * params.y_height);

  let size = vec2i(i32(params.x_height), i32(params.x_width));
  let pad = vec2i(params.pad_height, params.pad_width);
  let start = vec2i(i32(i * params.stride_height), i32(j * params.stride_width)) - pad;
  let padded_end = min(start + vec2i(i32(params.kernel_height), i32(params.kernel_width)), size + pad);
  let first = max(start, vec2i(0));
  let end = min(padded_end, size);

  var sum = 0.0;
  for (var row = first.x; row < end.x; row++) {
    let x_row = (plane * params.x_height + u32(row)) * params.x_width;
    for (var column = first.y; column < end.y; column++) {
      sum += f32(x[x_row + u32(column)]);
    }
  }
  let window = select(end - first, padded_end - start, params.count_include_pad == 1);
  let divisor = select(u32(window.x * window.y), params.divisor, params.divisor > 0);
  y[index] = Real(sum / f32(divisor));
}
