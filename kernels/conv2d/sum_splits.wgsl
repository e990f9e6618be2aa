// sum_splits: y = x[0] + x[1] + ... [+ b][+ r], then relu if asked for: the partial sums of a convolution that was split.
//
// Layout: x is [splits, pixels, C], b [C], r and y [pixels, C], all with C in vec4.
// Threads: one per vec4 of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,    // vec4s of y
  splits: u32,
  channels: u32, // in vec4
  bias: u32, residual: u32, relu: u32, // 1 if asked for
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read> r: array<vec4<Real>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(4) var<uniform> params: Params;

// Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
fn relu(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  return select(v, vec4f(), (bits >= vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  var sum = vec4f();
  for (var split = 0u; split < params.splits; split++) {
    sum += vec4f(x[split * params.count + index]);
  }
  if (params.bias == 1) {
    sum += vec4f(b[index % params.channels]);
  }
  if (params.residual == 1) {
    sum += vec4f(r[index]);
  }
  y[index] = vec4<Real>(select(sum, relu(sum), params.relu == 1));
}
