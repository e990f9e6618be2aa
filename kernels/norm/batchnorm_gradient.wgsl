// batchnorm_gradient: y = (dy - (n * sums[0,c] + sums[1,c]) / terms) / sqrt(variance[c] + eps) * weight[c], where n is the
// normalized x, (x - mean[c]) / sqrt(variance[c] + eps). Without the sums the statistics are constants.
//
// Layout: dy, x and y are [N, C, inner]; the statistics [2, C]: means, variances; the sums [2, C]: of dy * n, of dy.
// Threads: one per element of the first params.step ones, each for those of its channel that are as many apart.

const WORKGROUP: u32 = 64;
const WEIGHT: bool = true;
const SUMS: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels: see kernels/vectors.ts
alias Value = f32;

struct Params {
  count: u32,
  step: u32, // a multiple of channels * inner
  channels: u32,
  inner: u32,
  terms: f32, // of a channel: N * inner
  eps: f32,
}

@group(0) @binding(0) var<storage, read> dy: array<Element>;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> statistics: array<Element>;
@group(0) @binding(3) var<storage, read> weight: array<Element>;
@group(0) @binding(4) var<storage, read> sums: array<Element>;
@group(0) @binding(5) var<storage, read_write> y: array<Element>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.step) {
    return;
  }
  let c = index / params.inner % params.channels;
  let normal = 1 / sqrt(Value(statistics[params.channels + c]) + params.eps);
  var scale = normal;
  if (WEIGHT) {
    scale *= Value(weight[c]);
  }
  var mean = Value();
  var shift = Value();
  var slope = Value();
  if (SUMS) {
    mean = Value(statistics[c]);
    slope = Value(sums[c]) / params.terms * normal;
    shift = Value(sums[params.channels + c]) / params.terms;
  }
  for (var at = index; at < params.count; at += params.step) {
    var v = Value(dy[at]);
    if (SUMS) {
      v -= shift + (Value(x[at]) - mean) * slope;
    }
    y[at] = Element(v * scale);
  }
}
