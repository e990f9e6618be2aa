// winograd_input: V = B^T d B for every 6x6 patch d of the image, patches 4 apart: the first step of the convolution
// F(4x4, 3x3) of A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", 2015.
// Interpolated at 0, ±1/sqrt(2), ±sqrt(2) and infinity: half the error of the usual 0, ±1, ±2 (a seventh at worst).
//
// Layout: x NHWC in vec4; v is [36, tiles, C] in vec4, a tile being one patch: n, then rows, then columns.
// Threads: one per (tile, vec4 of channels).

const WORKGROUP: u32 = 64;
const UNROLL: bool = false; // the loops: GPUs wait for many loads at once then, but software adapters compile for seconds

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // tiles * channels
  side: u32, // 6: not a constant, which every compiler would unroll
  tiles: u32,
  tiles_height: u32, tiles_width: u32,
  x_height: u32, x_width: u32,
  channels: u32, // in vec4
  pad_top: i32, pad_left: i32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(2) var<uniform> params: Params;

const P = 0.7071067811865476;
const Q = 1.4142135623730951;

// B^T times a column.
fn transform(d: array<vec4f, 6>) -> array<vec4f, 6> {
  let even_p = d[4] - 2.0 * d[2];
  let odd_p = P * (d[3] - 2.0 * d[1]);
  let even_q = d[4] - 0.5 * d[2];
  let odd_q = Q * (d[3] - 0.5 * d[1]);
  return array<vec4f, 6>(
    d[0] - 2.5 * d[2] + d[4],
    even_p + odd_p, even_p - odd_p,
    even_q + odd_q, even_q - odd_q,
    d[1] - 2.5 * d[3] + d[5],
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let tile = index / params.channels;
  let left = i32(tile % params.tiles_width * 4) - params.pad_left;
  let top = i32(tile / params.tiles_width % params.tiles_height * 4) - params.pad_top;
  let n = tile / (params.tiles_width * params.tiles_height);

  // No loop has indices of its own into an array, but moves the array up, which costs nothing where loops are unrolled.
  let side = select(params.side, 6u, UNROLL);
  var columns: array<array<vec4f, 6>, 6>;
  for (var i = 0u; i < side; i++) {
    let column = left + i32(i);
    var d: array<vec4f, 6>;
    for (var j = 0u; j < side; j++) {
      let row = top + i32(j);
      let inside = row >= 0 && row < i32(params.x_height) && column >= 0 && column < i32(params.x_width);
      let position = (n * params.x_height + u32(row)) * params.x_width + u32(column);
      for (var k = 0u; k < 5; k++) {
        d[k] = d[k + 1];
      }
      d[5] = select(vec4f(), vec4f(x[position * params.channels + c]), inside);
    }
    for (var k = 0u; k < 5; k++) {
      columns[k] = columns[k + 1];
    }
    columns[5] = transform(d);
  }
  var at = index;
  for (var i = 0u; i < side; i++) {
    var values = transform(array<vec4f, 6>(columns[0][0], columns[1][0], columns[2][0], columns[3][0], columns[4][0], columns[5][0]));
    for (var j = 0u; j < side; j++) {
      y[at] = vec4<Real>(values[0]);
      at += params.tiles * params.channels;
      for (var k = 0u; k < 5; k++) {
        values[k] = values[k + 1];
      }
    }
    for (var k = 0u; k < 6; k++) {
      for (var l = 0u; l < 5; l++) {
        columns[k][l] = columns[k][l + 1];
      }
    }
  }
}
