// lrn_gradient: y[j] = dy[j] / s[j]^beta - 2 alpha / size * beta * x[j] * sum over c of dy[c] * x[c] / s[c]^(beta + 1), where
// s[c] = k + alpha / size * sum of x^2 over the channels c - size/2 .. c + (size - 1)/2, as far as there are such, and c goes over
// the channels for which j is one of these: j - (size - 1)/2 .. j + size/2.
//
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

@group(0) @binding(0) var<storage, read> dy: array<Real>;
@group(0) @binding(1) var<storage, read> x: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

// s of the channel c at this place.
fn scale_of(index: u32, c: u32) -> f32 {
  let below = min(c, params.size / 2);
  let above = min(params.channels - 1 - c, (params.size - 1) / 2);
  let first = index - below * params.inner;
  var sum = 0.0;
  for (var q = 0u; q <= below + above; q++) {
    let v = f32(x[first + q * params.inner]);
    sum += v * v;
  }
  return params.k + params.alpha * sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let own = index / params.inner % params.channels;
  let below = min(own, (params.size - 1) / 2);
  let above = min(params.channels - 1 - own, params.size / 2);
  let first = index - below * params.inner;
  var direct = 0.0;
  var sum = 0.0;
  for (var q = 0u; q <= below + above; q++) {
    let at = first + q * params.inner;
    let scale = scale_of(at, own - below + q);
    let scaled = f32(dy[at]) / pow(scale, params.beta);
    direct = select(direct, scaled, at == index);
    sum += scaled * f32(x[at]) / scale;
  }
  y[index] = Real(direct - 2 * params.alpha * params.beta * f32(x[index]) * sum);
}
