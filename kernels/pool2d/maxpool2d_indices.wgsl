// maxpool2d_indices: y[n,c,i,j] = k * kernel_width + l of the element (k, l) of the window that a max pooling takes: the first
// maximum, row by row, or the last NaN, as in PyTorch; -1 where the window sees padding alone.
//
// Values are compared by integer keys that sort as the floats do, NaN above all, since WGSL may assume that there is no NaN.
// Layout: NCHW, with N and C as one dimension "planes", or NHWC, with N as planes, and channels innermost.
// Threads: one per element of y, in the order of (plane, i, j, channel).

const WORKGROUP: u32 = 64;
const CHANNELS: bool = false; // NHWC

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32, // elements of y
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  dilation_height: u32, dilation_width: u32,
  channels: u32, // of NHWC, else 1
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;

const NAN = 0xffffffffu;

// Sorts as the floats do, from above 0.
fn key(v: Value) -> Bits {
  let bits = bitcast<Bits>(v);
  let is_nan = (bits & Bits(0x7fffffff)) > Bits(0x7f800000);
  // -0 is 0; the bits of negative floats, whose magnitudes sort backwards, are flipped.
  let positive = select(bits, Bits(), bits == Bits(0x80000000));
  let sortable = select(positive | Bits(0x80000000), ~positive, positive > Bits(0x80000000));
  return select(sortable, Bits(NAN), is_nan);
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
  let line = pixel / params.y_width;
  let plane = line / params.y_height;
  let top = i32((line - plane * params.y_height) * params.stride_height) - params.pad_height;
  let left = i32((pixel - line * params.y_width) * params.stride_width) - params.pad_width;
  var largest = Bits(); // less than every key
  var taken = Value(-1);
  for (var k = 0u; k < params.kernel_height; k++) {
    let row = top + i32(k * params.dilation_height);
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    let x_row = (plane * params.x_height + u32(row)) * params.x_width;
    for (var l = 0u; l < params.kernel_width; l++) {
      let column = left + i32(l * params.dilation_width);
      if (column >= 0 && column < i32(params.x_width)) {
        let other = key(Value(x[(x_row + u32(column)) * params.channels + c]));
        let wins = (other > largest) | (other == Bits(NAN));
        largest = select(largest, other, wins);
        taken = select(taken, Value(f32(k * params.kernel_width + l)), wins);
      }
    }
  }
  y[index] = Element(taken);
}
