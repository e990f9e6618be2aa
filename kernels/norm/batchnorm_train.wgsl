// batchnorm_train: y = (x - mean[c]) / sqrt(variance[c] + eps) * weight[c] + bias[c], with the statistics of the batch itself.
//
// Layout: x and y are [N, C, inner], the statistics [2, C]: means, variances. c is the second dimension.
// Threads: one per element.

const WORKGROUP: u32 = 64;
const WEIGHT: bool = true;
const BIAS: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels: see kernels/vectors.ts
alias Value = f32;

struct Params {
  count: u32,
  channels: u32,
  inner: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read> statistics: array<Element>;
@group(0) @binding(2) var<storage, read> weight: array<Element>;
@group(0) @binding(3) var<storage, read> bias: array<Element>;
@group(0) @binding(4) var<storage, read_write> y: array<Element>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index / params.inner % params.channels;
  var v = (Value(x[index]) - Value(statistics[c])) / sqrt(Value(statistics[params.channels + c]) + params.eps);
  if (WEIGHT) {
    v *= Value(weight[c]);
  }
  if (BIAS) {
    v += Value(bias[c]);
  }
  y[index] = Element(v);
}
