// pack: filters in the order of the fast convolutions, for weights that change, which cannot be packed once.
//
// Layout: x is O,C,area; y is area,C,O, both channels padded by zeros to multiples of 4, row by row, or cut into tiles of
// output channels, one after the other and each in matrices of 4x4: see columnAt in kernels/conv2d/gemm.ts.
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  area: u32,
  x_channels: u32, x_columns: u32,
  channels: u32, columns: u32, // padded
  tile: u32, // columns; 0 for none
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
  let o = index % params.columns;
  let row = index / params.columns;
  let c = row % params.channels;
  let k = row / params.channels;
  let at_x = (o * params.x_channels + c) * params.area + k;
  let value = select(0, f32(x[at_x]), o < params.x_columns && c < params.x_channels);
  var at = index;
  if (params.tile > 0) {
    let first = o - o % params.tile;
    let width = min(params.tile, params.columns - first);
    let start = first * params.area * params.channels + 4 * (o % params.tile - o % 4) + o % 4;
    at = start + (row - row % 4) * width + 4 * (row % 4);
  }
  y[at] = Real(value);
}
