// adaptive_avgpool2d: y[n,c,i,j] = mean of x over rows floor(i H / H') .. ceil((i + 1) H / H') - 1, columns alike.
//
// Layout: NCHW, with N and C as one dimension "planes".
// Threads: one per output element, in the order of (plane, i, j).

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // output elements
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
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
  let j = index % params.y_width;
  let i = index / params.y_width % params.y_height;
  let plane = index / (params.y_width * params.y_height);

  let top = i * params.x_height / params.y_height;
  let bottom = ((i + 1) * params.x_height + params.y_height - 1) / params.y_height;
  let left = j * params.x_width / params.y_width;
  let right = ((j + 1) * params.x_width + params.y_width - 1) / params.y_width;
  // Row by row, and in blocks of about as many rows as there are blocks: a sum rounds the less, the shorter its chains are.
  let block = u32(sqrt(f32(bottom - top)) + 0.5);
  var sum = 0.0;
  var part = 0.0;
  for (var row = top; row < bottom; row++) {
    var row_sum = 0.0;
    for (var column = left; column < right; column++) {
      row_sum += f32(x[(plane * params.x_height + row) * params.x_width + column]);
    }
    part += row_sum;
    if ((row - top) % block == block - 1) {
      sum += part;
      part = 0.0;
    }
  }
  y[index] = Real((sum + part) / f32((bottom - top) * (right - left)));
}
