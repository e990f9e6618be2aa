// exchange_nhwc: y[c,p,n] = x[n,p,c]: images as channels, and channels as images; those that x has not are 0.
//
// Layout: x [N, pixels, C], y [C, pixels, N], both in vec4.
// Threads: one per pixel of four images and four channels, channels first, so that neighbours read side by side.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  pixels: u32,
  images: u32,
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
  let n = place / params.pixels;
  let pixel = place - n * params.pixels;
  var block = mat4x4<Real>();
  for (var i = 0u; i < 4; i++) {
    if (4 * n + i < params.images) {
      block[i] = x[((4 * n + i) * params.pixels + pixel) * params.x_channels + c];
    }
  }
  block = transpose(block);
  for (var i = 0u; i < 4; i++) {
    y[((4 * c + i) * params.pixels + pixel) * params.y_channels + n] = block[i];
  }
}
