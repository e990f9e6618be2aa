// maxpool2d_gradient: dx[n,c,row,column] = sum of dy over the windows that have taken this element, which their indices tell:
// see maxpool2d_indices.
//
// Layout: NCHW, with N and C as one dimension "planes", or NHWC, with N as planes, and channels innermost; y is dx.
// Threads: one per element of dx, in the order of (plane, row, column, channel).

const WORKGROUP: u32 = 64;
// Constants, since divisions by others cost more than all the rest.
const STRIDE_HEIGHT: u32 = 2;
const STRIDE_WIDTH: u32 = 2;
const DILATION_HEIGHT: u32 = 1;
const DILATION_WIDTH: u32 = 1;
const CHANNELS: bool = false; // NHWC

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels
alias Value = f32;

struct Params {
  count: u32, // elements of dx
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  pad_height: i32, pad_width: i32,
  channels: u32, // of NHWC, else 1
}

@group(0) @binding(0) var<storage, read> indices: array<Element>;
@group(0) @binding(1) var<storage, read> dy: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

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
  let dilation = vec2u(DILATION_HEIGHT, DILATION_WIDTH);
  let pad = vec2u(u32(params.pad_height), u32(params.pad_width));
  // Windows begin at multiples of the stride, the last that has the element at or before it, the first after the one behind.
  let place = at + pad;
  let reach = dilation * (kernel - 1) + 1;
  let last = min(place / stride, vec2u(params.y_height, params.y_width) - 1);
  let first = select(vec2u(0), (place - reach) / stride + 1, place >= reach);
  var sum = Value();
  for (var i = first.x; i <= last.x; i++) {
    for (var j = first.y; j <= last.y; j++) {
      let start = vec2u(i, j) * stride;
      let tap = (place - start) / dilation;
      if (all(start + tap * dilation == place)) {
        let out = ((plane * params.y_height + i) * params.y_width + j) * params.channels + c;
        let own = Value(f32(tap.x * params.kernel_width + tap.y));
        sum += select(Value(), Value(dy[out]), Value(indices[out]) == own);
      }
    }
  }
  y[index] = Element(sum);
}
