// running: moves a batch norm's running statistics towards those of a batch, in place.
//
//   mean += momentum (batch mean - mean);   variance += momentum (correction batch variance - variance)
//
// Layout: statistics has the means of the channels, then their variances; correction = n / (n - 1) makes these unbiased; norm
// is the sum of the squares of all gradients: where it is not finite, nothing is changed.
// Threads: one per channel.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // channels
  momentum: f32, rest: f32, // what it lacks of 1
  correction: f32,
}

@group(0) @binding(0) var<storage, read> statistics: array<Real>;
@group(0) @binding(1) var<storage, read_write> mean: array<Real>;
@group(0) @binding(2) var<storage, read_write> variance: array<Real>;
@group(0) @binding(3) var<storage, read> norm: array<Real>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let c = gid.x + gid.y * groups.x * WORKGROUP;
  // By its bits, since WGSL may assume that there are no infinities and NaN.
  if (c >= params.count || (bitcast<u32>(f32(norm[0])) & 0x7f800000) == 0x7f800000) {
    return;
  }
  let unbiased = params.correction * f32(statistics[params.count + c]);
  mean[c] = Real(params.rest * f32(mean[c]) + params.momentum * f32(statistics[c]));
  variance[c] = Real(params.rest * f32(variance[c]) + params.momentum * unbiased);
}
