// to_nhwc: y[n,p,c] = x[n,c,p], p being a pixel; the channels that x has not are 0.
//
// Layout: x [N, C, pixels]; y [N, pixels, C] in vec4.
// Threads: one per vec4 of y, pixels first, so that neighbours read side by side.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // N * y_channels * pixels
  pixels: u32,
  x_channels: u32,
  y_channels: u32, // in vec4
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let pixel = index % params.pixels;
  let c = index / params.pixels % params.y_channels;
  let n = index / (params.pixels * params.y_channels);
  var v = vec4f();
  for (var e = 0u; e < 4; e++) {
    let channel = c * 4 + e;
    if (channel < params.x_channels) {
      v[e] = f32(x[(n * params.x_channels + channel) * params.pixels + pixel]);
    }
  }
  y[(n * params.pixels + pixel) * params.y_channels + c] = vec4<Real>(v);
}
