// maxpool2d: y[n,c,i,j] = max of x over the window. Padding never wins; a NaN in the window does.
//
// Maxima are taken over integer keys that sort as the floats do, NaN above all: WGSL may assume that there is no NaN,
// and its max() may drop one.
// Layout: NCHW, with N and C as one dimension "planes".
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
  dilation_height: u32, dilation_width: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

// The key of -infinity, which a window of padding alone has.
const LOWEST = bitcast<i32>(0x807fffffu);

// Flips the lower bits of negative floats, whose magnitudes sort backwards. Its own inverse.
fn sortable(bits: i32) -> i32 {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

fn key(v: f32) -> i32 {
  let bits = bitcast<i32>(v);
  let is_nan = (bits & 0x7fffffff) > 0x7f800000;
  return select(sortable(bits), 0x7fffffff, is_nan);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let j = index % params.y_width;
  let i = index / params.y_width % params.y_height;
  let plane = index / (params.y_width * params.y_height);

  let top = i32(i * params.stride_height) - params.pad_height;
  let left = i32(j * params.stride_width) - params.pad_width;
  var largest = LOWEST;
  for (var k = 0u; k < params.kernel_height; k++) {
    let row = top + i32(k * params.dilation_height);
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    let x_row = (plane * params.x_height + u32(row)) * params.x_width;
    for (var l = 0u; l < params.kernel_width; l++) {
      let column = left + i32(l * params.dilation_width);
      if (column >= 0 && column < i32(params.x_width)) {
        largest = max(largest, key(f32(x[x_row + u32(column)])));
      }
    }
  }
  y[index] = Real(bitcast<f32>(sortable(largest)));
}
