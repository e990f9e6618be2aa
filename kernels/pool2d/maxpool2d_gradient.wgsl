// maxpool2d_gradient: dx[n,c,row,column] = sum of dy over the windows whose maximum is there: the first one in a window, row by
// row, or the last NaN, as in PyTorch.
//
// Values are compared by integer keys that sort as the floats do, NaN above all, since WGSL may assume that there is no NaN.
// Layout: NCHW, with N and C as one dimension "planes"; y is dx.
// Threads: one per element of dx, in the order of (plane, row, column).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // elements of dx
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  dilation_height: u32, dilation_width: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> dy: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

const NAN = 0x7fffffff;

fn key(v: f32) -> i32 {
  let bits = bitcast<i32>(v);
  let is_nan = (bits & 0x7fffffff) > 0x7f800000;
  // -0 is 0; the lower bits of negative floats, whose magnitudes sort backwards, are flipped.
  let sortable = select(bits ^ ((bits >> 31) & 0x7fffffff), 0, bits == bitcast<i32>(0x80000000u));
  return select(sortable, NAN, is_nan);
}

// Whether the value at tap (k, l) of the window that begins at (top, left) is the one that it takes.
fn is_maximum(plane: u32, top: i32, left: i32, k: u32, l: u32, own: i32) -> bool {
  for (var p = 0u; p < params.kernel_height; p++) {
    let row = top + i32(p * params.dilation_height);
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    for (var q = 0u; q < params.kernel_width; q++) {
      let column = left + i32(q * params.dilation_width);
      if (column < 0 || column >= i32(params.x_width) || (p == k && q == l)) {
        continue;
      }
      let other = key(f32(x[(plane * params.x_height + u32(row)) * params.x_width + u32(column)]));
      let is_earlier = p < k || (p == k && q < l);
      if (other > own || (other == own && is_earlier == (own != NAN))) {
        return false;
      }
    }
  }
  return true;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let column = index % params.x_width;
  let row = index / params.x_width % params.x_height;
  let plane = index / (params.x_width * params.x_height);
  let own = key(f32(x[index]));
  var sum = 0.0;
  for (var k = 0u; k < params.kernel_height; k++) {
    let top = i32(row) - i32(k * params.dilation_height);
    let down = top + params.pad_height;
    let i = u32(down) / params.stride_height;
    if (down < 0 || i * params.stride_height != u32(down) || i >= params.y_height) {
      continue;
    }
    for (var l = 0u; l < params.kernel_width; l++) {
      let left = i32(column) - i32(l * params.dilation_width);
      let right = left + params.pad_width;
      let j = u32(right) / params.stride_width;
      if (right < 0 || j * params.stride_width != u32(right) || j >= params.y_width) {
        continue;
      }
      if (is_maximum(plane, top, left, k, l, own)) {
        sum += f32(dy[(plane * params.y_height + i) * params.y_width + j]);
      }
    }
  }
  y[index] = Real(sum);
}
