// exchange_nhwc: y[c,i,j,n] = x[n,i,j,c], or that much further on: images as channels, and channels as images; those that x has
// not are 0.
//
// Layout: x [N, H, W, C], y [C, H', W', N], both in vec4.
// Threads: one per pixel of four images and four channels, channels first, so that neighbours read side by side.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  images: u32, height: u32, width: u32, // that are read
  first: u32, // of the pixels of x
  x_height: u32, x_width: u32,
  x_channels: u32, // in vec4
  y_channels: u32, // in vec4
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
  let place = index / params.x_channels;
  let c = index - place * params.x_channels;
  let line = place / params.width;
  let n = line / params.height;
  let row = line - n * params.height;
  let column = place - line * params.width;
  var block = mat4x4<Real>();
  for (var i = 0u; i < 4; i++) {
    if (4 * n + i < params.images) {
      let x_line = (4 * n + i) * params.x_height + row;
      block[i] = x[(params.first + x_line * params.x_width + column) * params.x_channels + c];
    }
  }
  block = transpose(block);
  for (var i = 0u; i < 4; i++) {
    let y_line = (4 * c + i) * params.height + row;
    y[(y_line * params.width + column) * params.y_channels + n] = block[i];
  }
}
