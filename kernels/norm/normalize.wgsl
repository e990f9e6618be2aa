// normalize: y[r,i] = x[r,i] / max(sqrt(sum over k of x[r,k]^2), eps) * scale[r % factors].
//
// Layout: x and y [rows, size], scale [factors].
// Threads: one per row.

const WORKGROUP: u32 = 64;
const SCALE: bool = true;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  rows: u32,
  size: u32,
  factors: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> scale: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = gid.x + gid.y * groups.x * WORKGROUP;
  if (row >= params.rows) {
    return;
  }
  let first = row * params.size;
  var sum = 0.0;
  for (var i = first; i < first + params.size; i++) {
    let v = f32(x[i]);
    sum += v * v;
  }
  // The larger one on bits, since WGSL may assume that there is no NaN.
  let length = bitcast<f32>(max(bitcast<u32>(sqrt(sum)), bitcast<u32>(params.eps)));
  var factor = 1.0;
  if (SCALE) {
    factor = f32(scale[row % params.factors]);
  }
  for (var i = first; i < first + params.size; i++) {
    y[i] = Real(f32(x[i]) / length * factor);
  }
}
