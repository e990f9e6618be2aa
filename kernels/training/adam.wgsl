// adam: a step of Adam (Kingma and Ba, 2014) or AdamW (Loshchilov and Hutter, 2017) on all parameters at once, in place.
//
//   g' = clip g + decay w (Adam), or w -= rate decay w (AdamW)
//   m += (1 - beta1) (g' - m);   v = beta2 v + (1 - beta2) g'^2;   w -= rate' m / (sqrt(v) / root + eps)
//
// Layout: w, g, m and v are all parameters one after the other; norm is the sum of the squares of g; rates has the learning
// rate, rate' = rate / (1 - beta1^t) and root = sqrt(1 - beta2^t). A step whose gradients are not finite changes nothing.
// Threads: one per vec4.

const WORKGROUP: u32 = 64;
const DECOUPLED: bool = false; // AdamW

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // vec4s
  beta1: f32, rest1: f32, // beta1, and what it lacks of 1
  beta2: f32, rest2: f32,
  eps: f32, decay: f32,
  most: f32, // the norm beyond which gradients are clipped to it; 0 for no clipping
}

@group(0) @binding(0) var<storage, read_write> w: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> g: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4<Real>>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4<Real>>;
@group(0) @binding(4) var<storage, read> norm: array<Real>;
@group(0) @binding(5) var<storage, read> rates: array<Real>;
@group(0) @binding(6) var<uniform> params: Params;

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
  var old = vec4f(w[i]);
  var step = vec4f(g[i]) * clipping();
  if (DECOUPLED) {
    old *= 1 - f32(rates[0]) * params.decay;
  } else {
    step += params.decay * old;
  }
  let mean = vec4f(m[i]) + params.rest1 * (step - vec4f(m[i]));
  let square = params.beta2 * vec4f(v[i]) + params.rest2 * step * step;
  m[i] = vec4<Real>(mean);
  v[i] = vec4<Real>(square);
  w[i] = vec4<Real>(old - f32(rates[1]) * mean / (sqrt(square) / f32(rates[2]) + params.eps));
}
