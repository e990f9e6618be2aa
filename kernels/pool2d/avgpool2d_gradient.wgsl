// avgpool2d_gradient: dx[n,c,row,column] = sum over the windows that it is in of dy / divisor.
//
// The divisor is the number of the window's elements inside the image, that of those inside the padded image (the padding
// counts, what ceilMode adds beyond it does not), or a given number.
// Layout: NCHW, with N and C as one dimension "planes", or NHWC, with N as planes, and channels innermost; y is dx.
// Threads: one per element of dx, in the order of (plane, row, column, channel).

const WORKGROUP: u32 = 64;
// Constants, since divisions by others cost more than all the rest.
const STRIDE_HEIGHT: u32 = 2;
const STRIDE_WIDTH: u32 = 2;
const CHANNELS: bool = false; // NHWC
const OVERLAP: bool = true;   // whether windows may share elements

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels
alias Value = f32;

struct Params {
  count: u32, // elements of dx
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  pad_height: i32, pad_width: i32,
  divisor: u32, // 0: by the window
  count_include_pad: u32,
  channels: u32, // of NHWC, else 1
}

@group(0) @binding(0) var<storage, read> dy: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;

// What the gradient of a window is divided by.
fn divisor_at(window: vec2u) -> f32 {
  let size = vec2i(i32(params.x_height), i32(params.x_width));
  let pad = vec2i(params.pad_height, params.pad_width);
  let start = vec2i(window * vec2u(STRIDE_HEIGHT, STRIDE_WIDTH)) - pad;
  let padded_end = min(start + vec2i(i32(params.kernel_height), i32(params.kernel_width)), size + pad);
  let shown = select(min(padded_end, size) - max(start, vec2i(0)), padded_end - start, params.count_include_pad == 1);
  return f32(select(u32(shown.x * shown.y), params.divisor, params.divisor > 0));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  var pixel = index;
  var c = 0u;
  if (CHANNELS) {
    pixel = index / params.channels;
    c = index - pixel * params.channels;
  }
  let line = pixel / params.x_width;
  let plane = line / params.x_height;
  let at = vec2u(line - plane * params.x_height, pixel - line * params.x_width);

  let kernel = vec2u(params.kernel_height, params.kernel_width);
  let stride = vec2u(STRIDE_HEIGHT, STRIDE_WIDTH);
  // Windows begin at multiples of the stride, the last that has the element at or before it, the first after the one behind.
  let place = at + vec2u(vec2i(params.pad_height, params.pad_width));
  let last = min(place / stride, vec2u(params.y_height, params.y_width) - 1);
  let first = select(vec2u(0), (place - kernel) / stride + 1, place >= kernel);

  var sum = Value();
  if (OVERLAP) {
    for (var i = first.x; i <= last.x; i++) {
      for (var j = first.y; j <= last.y; j++) {
        let line = (plane * params.y_height + i) * params.y_width + j;
        sum += Value(dy[line * params.channels + c]) / divisor_at(vec2u(i, j));
      }
    }
  } else if (all(first <= last)) {
    let line = (plane * params.y_height + last.x) * params.y_width + last.y;
    sum = Value(dy[line * params.channels + c]) / divisor_at(last);
  }
  y[index] = Element(sum);
}
