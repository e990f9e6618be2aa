// maxpool2d_gradient: dx[n,c,row,column] = sum of dy over the windows whose maximum is there: the first one in a window, row by
// row, or the last NaN, as in PyTorch.
//
// Values are compared by integer keys that sort as the floats do, NaN above all, since WGSL may assume that there is no NaN.
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
alias Bits = u32;

struct Params {
  count: u32, // elements of dx
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  pad_height: i32, pad_width: i32,
  channels: u32, // of NHWC, else 1
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read> dy: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

const NAN = 0xffffffffu;

fn key(v: Value) -> Bits {
  let bits = bitcast<Bits>(v);
  let is_nan = (bits & Bits(0x7fffffff)) > Bits(0x7f800000);
  // -0 is 0; the bits of negative floats, whose magnitudes sort backwards, are flipped.
  let positive = select(bits, Bits(), bits == Bits(0x80000000));
  let sortable = select(positive | Bits(0x80000000), ~positive, positive > Bits(0x80000000));
  return select(sortable, Bits(NAN), is_nan);
}

// What is given where tap (k, l) of the window that begins at start is the one that it takes, else 0.
fn if_maximum(given: Value, plane: u32, c: u32, start: vec2i, k: u32, l: u32, own: Bits) -> Value {
  var taken = own == own;
  for (var p = 0u; p < params.kernel_height; p++) {
    let row = start.x + i32(p * DILATION_HEIGHT);
    for (var q = 0u; q < params.kernel_width; q++) {
      let column = start.y + i32(q * DILATION_WIDTH);
      let is_inside = row >= 0 && row < i32(params.x_height) && column >= 0 && column < i32(params.x_width);
      if (is_inside && (p != k || q != l)) {
        let pixel = (plane * params.x_height + u32(row)) * params.x_width + u32(column);
        let other = key(Value(x[pixel * params.channels + c]));
        let is_earlier = p < k || (p == k && q < l);
        let yields = select(own == Bits(NAN), own != Bits(NAN), is_earlier);
        taken &= (other < own) | ((other == own) & !yields);
      }
    }
  }
  return select(Value(), given, taken);
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
  let dilation = vec2u(DILATION_HEIGHT, DILATION_WIDTH);
  let pad = vec2u(u32(params.pad_height), u32(params.pad_width));
  // Windows begin at multiples of the stride, the last that has the element at or before it, the first after the one behind.
  let place = at + pad;
  let reach = dilation * (kernel - 1) + 1;
  let last = min(place / stride, vec2u(params.y_height, params.y_width) - 1);
  let first = select(vec2u(0), (place - reach) / stride + 1, place >= reach);
  let own = key(Value(x[index]));
  var sum = Value();
  for (var i = first.x; i <= last.x; i++) {
    for (var j = first.y; j <= last.y; j++) {
      let start = vec2u(i, j) * stride;
      let tap = (place - start) / dilation;
      if (all(start + tap * dilation == place)) {
        let given = Value(dy[((plane * params.y_height + i) * params.y_width + j) * params.channels + c]);
        sum += if_maximum(given, plane, c, vec2i(start) - vec2i(pad), tap.x, tap.y, own);
      }
    }
  }
  y[index] = Element(sum);
}
