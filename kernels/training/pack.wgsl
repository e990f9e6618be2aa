// pack: filters in the order of the fast convolutions, for weights that change, which cannot be packed once.
//
// Layout: w[o,c,k] is at x[first + o O + c C + k / width R + k % width K], by the strides O, C, R and K; y is k,c,o, both channels
// padded by zeros to multiples of 4, row by row, or cut into tiles of output channels, one after the other and each in matrices of
// 4x4: see columnAt in kernels/conv2d/gemm.ts.
// Threads: one per vec4 of y: o across, c down, k deep, since divisions cost more here than all the rest.

const WORKGROUP: u32 = 64;
const SPAN: u32 = 9; // elements of a filter that a thread takes, which lie side by side
const TILE: u32 = 0; // columns, a multiple of 4; 0 for none

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  area: u32,
  x_channels: u32, x_columns: u32,
  channels: u32, columns: u32, // padded
  width: u32, // of a row of taps
  first: i32, stride_o: i32, stride_c: i32, stride_row: i32, stride_k: i32, // of x
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  let o = 4 * gid.x;
  let c = gid.y;
  if (o >= params.columns) {
    return;
  }
  let begin = gid.z * SPAN;
  let end = min(begin + SPAN, params.area);
  var row = begin / params.width;
  for (var k = begin; k < end; k++) {
    row += u32(k == (row + 1) * params.width);
    let column = k - row * params.width;
    let start = params.first + i32(c) * params.stride_c + i32(row) * params.stride_row + i32(column) * params.stride_k;
    var value = vec4<Real>();
    for (var e = 0u; e < 4; e++) {
      if (o + e < params.x_columns && c < params.x_channels) {
        value[e] = x[u32(start + i32(o + e) * params.stride_o)];
      }
    }
    let line = k * params.channels + c;
    var at = line * params.columns + o;
    if (TILE > 0) {
      let first = o - o % max(TILE, 1);
      let width = min(TILE, params.columns - first);
      at = first * params.area * params.channels + (line - line % 4) * width + 4 * (o - first + line % 4);
    }
    y[at / 4] = value;
  }
}
