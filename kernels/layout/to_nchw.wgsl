// to_nchw: y[n,c,p] = x[n,p,c], p being a pixel, for the first channels of x.
//
// Layout: x [N, pixels, C] in vec4, C padded; y [N, C, pixels].
// Threads: one per pixel of VECTORS vec4s of x, which are a line of a cache, pixels first, so that neighbours write side by side.

const WORKGROUP: u32 = 64;
const VECTORS: u32 = 4;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // threads
  pixels: u32,
  x_channels: u32, // in vec4
  y_channels: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let pixel = index % params.pixels;
  let lines = (params.x_channels + VECTORS - 1) / VECTORS;
  let line = index / params.pixels % lines;
  let n = index / (params.pixels * lines);
  let end = min(line * VECTORS + VECTORS, params.x_channels);
  for (var c = line * VECTORS; c < end; c++) {
    let v = x[(n * params.pixels + pixel) * params.x_channels + c];
    for (var e = 0u; e < 4; e++) {
      let channel = c * 4 + e;
      if (channel < params.y_channels) {
        y[(n * params.y_channels + channel) * params.pixels + pixel] = v[e];
      }
    }
  }
}
