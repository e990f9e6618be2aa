// adaptive_avgpool2d_nhwc: the mean over rows floor(i H / H') .. ceil((i + 1) H / H') - 1, columns alike, four channels
// at a time.
//
// Layout: NHWC in vec4.
// Threads: one per vec4 of the output, channels first.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // vec4s of the output
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  channels: u32, // in vec4
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let pixel = index / params.channels;
  let j = pixel % params.y_width;
  let i = pixel / params.y_width % params.y_height;
  let n = pixel / (params.y_width * params.y_height);

  let top = i * params.x_height / params.y_height;
  let bottom = ((i + 1) * params.x_height + params.y_height - 1) / params.y_height;
  let left = j * params.x_width / params.y_width;
  let right = ((j + 1) * params.x_width + params.y_width - 1) / params.y_width;
  var sum = vec4f();
  for (var row = top; row < bottom; row++) {
    // Row by row, so that a large window rounds no worse than two small ones.
    var row_sum = vec4f();
    for (var column = left; column < right; column++) {
      row_sum += vec4f(x[((n * params.x_height + row) * params.x_width + column) * params.channels + c]);
    }
    sum += row_sum;
  }
  y[index] = vec4<Real>(sum / f32((bottom - top) * (right - left)));
}
