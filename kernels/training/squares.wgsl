// squares: the sum of the squares of x in parts, for the norm of all gradients.
//
// Layout: x is of any shape, element by element; y has a sum per part.
// Threads: a workgroup per part, of which each thread adds up every WORKGROUP-th square; then half of them add the sums of the
// others until one is left: always in the same order.

const WORKGROUP: u32 = 64; // a power of two
const PART: u32 = 4096; // vec4s

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // vec4s of x
  parts: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let part = wid.x + wid.y * groups.x;
  var sum = vec4f();
  for (var i = part * PART + thread; i < min((part + 1) * PART, params.count); i += WORKGROUP) {
    sum += vec4f(x[i]) * vec4f(x[i]);
  }
  sums[thread] = sum.x + sum.y + sum.z + sum.w;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
  }
  if (thread == 0 && part < params.parts) {
    y[part] = Real(sums[0]);
  }
}
