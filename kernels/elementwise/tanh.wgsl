// tanh: y = (e^2x - 1) / (e^2x + 1), without the overflow and the cancellation of that form.
//
// Near 0 by the series x - x^3/3 + 2 x^5/15 - 17 x^7/315 + 62 x^9/2835, else as 1 - 2 / (e^2|x| + 1) with x's sign.
// WGSL's own tanh may be as coarse as sinh/cosh and overflow with them. NaN stays.
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

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let v = Value(x[index]);
  let bits = bitcast<Bits>(v);
  let s = v * v;
  let series = v * (1 - s * (1.0 / 3 - s * (2.0 / 15 - s * (17.0 / 315 - s * (62.0 / 2835)))));
  // tanh(10) rounds to 1.
  let far = sign(v) * (1 - 2 / (exp(2 * min(abs(v), Value(10))) + 1));
  let is_nan = (bits & Bits(0x7fffffff)) > Bits(0x7f800000);
  y[index] = Element(select(select(far, series, s < Value(0.09)), v, is_nan));
}
