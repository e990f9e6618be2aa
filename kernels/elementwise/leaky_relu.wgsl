// leaky_relu: y = x where x is positive, else negativeSlope * x. NaN stays.
//
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four numbers: see kernels/vectors.ts
alias Value = f32;
alias Bits = u32;

struct Params {
  count: u32,
  negativeSlope: f32,
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
  let is_negative = (bitcast<Bits>(v) & Bits(0x80000000)) != Bits();
  y[index] = Element(v * select(Value(1), Value(params.negativeSlope), is_negative));
}
