// erf: the error function, 2 / sqrt(pi) times the integral of exp(-t t) from 0 to x.
//
// Near 0 by its Taylor series, else as 1 - 2 P(-sqrt(2) |x|) with x's sign, P being the normal distribution's integral. NaN stays.
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four numbers: see kernels/vectors.ts
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;

// P(-a) / exp(-a a / 2), P being the normal distribution's integral: Mills' ratio over sqrt(2 pi), as a polynomial in
// 1 / (1 + 0.35 a), to 4e-8 of itself.
fn normal_tail(a: Value) -> Value {
  let t = 1.0 / (1.0 + 0.35 * a);
  return t * (0.13962125 + t * (0.13986447 + t * (0.11981453 + t * (0.10557850 + t * (-0.02327232
    + t * (0.15940490 + t * (-0.25591209 + t * (0.14406563 + t * -0.02916490))))))));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let v = Value(x[index]);
  let is_nan = (bitcast<Bits>(v) & Bits(0x7fffffff)) > Bits(0x7f800000);
  let s = v * v;
  let series = v * (1.1283791670955126 * (1 - s * (1.0 / 3 - s * (1.0 / 10 - s * (1.0 / 42 - s * (1.0 / 216 - s / 1320))))));
  let far = sign(v) * (1 - 2 * normal_tail(1.4142135623730951 * min(abs(v), Value(10))) * exp(-s));
  y[index] = Element(select(select(far, series, s < Value(0.25)), v, is_nan));
}
