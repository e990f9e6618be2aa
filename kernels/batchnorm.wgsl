// batchnorm at inference: y = (x - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c].
//
// Layout: [N, C, inner]; c is the second dimension.
// Threads: one per element.

const WORKGROUP: u32 = 64;
const WEIGHT: bool = true;
const BIAS: bool = true;

struct Params {
  count: u32,
  channels: u32,
  inner: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> variance: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index / params.inner % params.channels;
  var v = (x[index] - mean[c]) / sqrt(variance[c] + params.eps);
  if (WEIGHT) {
    v *= weight[c];
  }
  if (BIAS) {
    v += bias[c];
  }
  y[index] = v;
}
