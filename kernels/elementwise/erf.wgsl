// erf: the error function.
//
// By formula 7.1.26 of Abramowitz and Stegun, "Handbook of mathematical functions", whose error is below 1.5e-7.
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

fn erf(v: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * abs(v));
  let polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(v) * (1.0 - polynomial * exp(-v * v));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let v = f32(x[index]);
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = Real(select(erf(v), v, is_nan));
}
