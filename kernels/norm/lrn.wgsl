// lrn, local response normalization: y = x / (k + alpha / size * sum of x^2 over size neighbouring channels)^beta.
//
// The channels are c - size/2 .. c + (size - 1)/2, as far as there are such.
// Layout: [N, C, inner].
// Threads: one per element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  channels: u32,
  inner: u32,
  size: u32,
  alpha: f32, // divided by size already
  beta: f32,
  k: f32,
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
  let c = index / params.inner % params.channels;
  let below = min(c, params.size / 2);
  let above = min(params.channels - 1 - c, (params.size - 1) / 2);
  let first = index - below * params.inner;
  var sum = 0.0;
  for (var q = 0u; q <= below + above; q++) {
    let v = f32(x[first + q * params.inner]);
    sum += v * v;
  }
  y[index] = Real(f32(x[index]) / pow(params.k + params.alpha * sum, params.beta));
}
