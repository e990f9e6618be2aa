// sgd: a step of stochastic gradient descent with momentum on all parameters at once, in place.
//
//   g' = clip g + decay w;   m = momentum m + (1 - dampening) g', at first g';   w -= rate (nesterov ? g' + momentum m : m)
//
// Layout: w, g and m are all parameters one after the other; norm is the sum of the squares of g; rates has the learning
// rate, and 1 in the first step. A step whose gradients are not finite changes nothing.
// Threads: one per vec4.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // vec4s
  momentum: f32, dampening: f32, decay: f32,
  nesterov: u32, // 1 if asked for
  most: f32, // the norm beyond which gradients are clipped to it; 0 for no clipping
}

@group(0) @binding(0) var<storage, read_write> w: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> g: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4<Real>>;
@group(0) @binding(3) var<storage, read> norm: array<Real>;
@group(0) @binding(4) var<storage, read> rates: array<Real>;
@group(0) @binding(5) var<uniform> params: Params;

// PyTorch's clip_grad_norm_: what the gradients are multiplied with.
fn clipping() -> f32 {
  let length = sqrt(f32(norm[0]));
  return select(1, min(1, params.most / (length + 1e-6)), params.most > 0);
}

// By its bits, since WGSL may assume that there are no infinities and NaN.
fn is_finite(v: f32) -> bool {
  return (bitcast<u32>(v) & 0x7f800000) != 0x7f800000;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = gid.x + gid.y * groups.x * WORKGROUP;
  if (i >= params.count || !is_finite(f32(norm[0]))) {
    return;
  }
  let old = vec4f(w[i]);
  var step = vec4f(g[i]) * clipping() + params.decay * old;
  if (params.momentum > 0) {
    let moved = params.momentum * vec4f(m[i]) + (1 - params.dampening) * step;
    let next = select(moved, step, rates[1] == 1);
    m[i] = vec4<Real>(next);
    step = select(next, step + params.momentum * next, params.nesterov == 1);
  }
  w[i] = vec4<Real>(old - f32(rates[0]) * step);
}
