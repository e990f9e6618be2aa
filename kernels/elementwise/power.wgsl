// power: y = x to the power of exponent, a constant; of a negative x where that is a whole number.
//
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  exponent: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let v = f32(x[index]);
  let p = params.exponent;
  // Those that nets have, to the last bits; pow() is less exact.
  var result = 0.0;
  if (p == 2.0) {
    result = v * v;
  } else if (p == 0.5) {
    result = sqrt(v);
  } else if (p == -1.0) {
    result = 1.0 / v;
  } else if (p == 3.0) {
    result = v * v * v;
  } else {
    result = pow(abs(v), p);
    let is_odd = abs(p % 2.0) == 1.0;
    result = select(result, -result, v < 0.0 && is_odd);
  }
  y[index] = Real(result);
}
