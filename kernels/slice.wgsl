// slice: y[o,i,q] = x[o, start + i * step, q], a part of x along one of its dimensions.
//
// Layout: x seen as [outer, x_size, inner], y as [outer, size, inner].
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  x_size: u32,
  size: u32,
  inner: u32,
  start: u32,
  step: u32,
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
  let i = index / params.inner % params.size;
  let outer = index / (params.inner * params.size);
  y[index] = x[(outer * params.x_size + params.start + i * params.step) * params.inner + index % params.inner];
}
