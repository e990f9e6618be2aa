// pool2d_nhwc: the maximum over the window, or its sum / divisor, four channels at a time. One kernel for both, so that
// a net that has both compiles one.
//
// Maxima are taken over integer keys that sort as the floats do, NaN above all: see maxpool2d. Padding never wins.
// Divisors are those of avgpool2d.
// Layout: NHWC in vec4.
// Threads: one per vec4 of the output, channels first.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // vec4s of the output
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  channels: u32, // in vec4
  y_pitch: u32, y_first: u32, // of the rows of channels that are written: see kernels/layout/join.ts
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  dilation_height: u32, dilation_width: u32,
  mean: u32, // 1: the mean, undilated; 0: the maximum
  divisor: u32, // 0: by the window
  count_include_pad: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(2) var<uniform> params: Params;

// The key of -infinity, which a window of padding alone has.
const LOWEST = bitcast<i32>(0x807fffffu);

// Flips the lower bits of negative floats, whose magnitudes sort backwards. Its own inverse.
fn sortable(bits: vec4i) -> vec4i {
  return bits ^ ((bits >> vec4u(31)) & vec4i(0x7fffffff));
}

fn key(v: vec4f) -> vec4i {
  let bits = bitcast<vec4i>(v);
  let is_nan = (bits & vec4i(0x7fffffff)) > vec4i(0x7f800000);
  return select(sortable(bits), vec4i(0x7fffffff), is_nan);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let pixel = index / params.channels;
  let j = pixel % params.y_width;
  let i = pixel / params.y_width % params.y_height;
  let n = pixel / (params.y_width * params.y_height);

  let size = vec2i(i32(params.x_height), i32(params.x_width));
  let pad = vec2i(params.pad_height, params.pad_width);
  let start = vec2i(i32(i * params.stride_height), i32(j * params.stride_width)) - pad;
  var largest = vec4i(LOWEST);
  // Row by row, and in blocks of about as many rows as there are blocks: a sum rounds the less, the shorter its chains are.
  let block = u32(sqrt(f32(params.kernel_height)) + 0.5);
  var sum = vec4f();
  var part = vec4f();
  for (var k = 0u; k < params.kernel_height; k++) {
    let row = start.x + i32(k * params.dilation_height);
    if (row < 0 || row >= size.x) {
      continue;
    }
    let x_row = (n * params.x_height + u32(row)) * params.x_width;
    var row_sum = vec4f();
    for (var l = 0u; l < params.kernel_width; l++) {
      let column = start.y + i32(l * params.dilation_width);
      if (column >= 0 && column < size.y) {
        let value = vec4f(x[(x_row + u32(column)) * params.channels + c]);
        largest = max(largest, key(value));
        row_sum += value;
      }
    }
    part += row_sum;
    if (k % block == block - 1) {
      sum += part;
      part = vec4f();
    }
  }
  let out = pixel * params.y_pitch + params.y_first + c;
  if (params.mean == 0) {
    y[out] = vec4<Real>(bitcast<vec4f>(sortable(largest)));
    return;
  }
  let padded_end = min(start + vec2i(i32(params.kernel_height), i32(params.kernel_width)), size + pad);
  let window = select(min(padded_end, size) - max(start, vec2i(0)), padded_end - start, params.count_include_pad == 1);
  let divisor = select(u32(window.x * window.y), params.divisor, params.divisor > 0);
  y[out] = vec4<Real>((sum + part) / f32(divisor));
}
