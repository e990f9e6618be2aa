// sum: y = sum of x over some of its dimensions.
//
// Layout: up to four dimensions; "kept" sizes and strides lead to a y element's first x, "reduced" ones through its sum.
// Threads: LANES per output element. Each adds up every LANES-th element, then half of them add the sums of the others until one
// is left: always in the same order, and with the error of a sum that is much shorter. Neighbours have neighbouring elements.

const WORKGROUP: u32 = 64; // a power of two
const LANES: u32 = 64;     // one, too

const ELEMENTS = WORKGROUP / LANES;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  terms: u32, // of each sum
  step: u32, // from one of them to the next in x; 0 where it varies
  kept1: u32, kept2: u32, kept3: u32,          // sizes of y; 1 where reduced
  reduced1: u32, reduced2: u32, reduced3: u32, // sizes of x that are summed over; 1 where kept
  stride0: u32, stride1: u32, stride2: u32, stride3: u32, // of x
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read_write> y: array<Real>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = (wid.x + wid.y * groups.x) * ELEMENTS + thread % ELEMENTS;
  let p3 = index % params.kept3;
  let p2 = index / params.kept3 % params.kept2;
  let p1 = index / (params.kept3 * params.kept2) % params.kept1;
  let p0 = index / (params.kept3 * params.kept2 * params.kept1);
  let first = p0 * params.stride0 + p1 * params.stride1 + p2 * params.stride2 + p3 * params.stride3;
  var sum = 0.0;
  if (index < params.count) {
    for (var i = thread / ELEMENTS; i < params.terms; i += LANES) {
      var at = i * params.step;
      if (params.step == 0) { // divisions cost more than all the rest
        let q3 = i % params.reduced3;
        let q2 = i / params.reduced3 % params.reduced2;
        let q1 = i / (params.reduced3 * params.reduced2) % params.reduced1;
        let q0 = i / (params.reduced3 * params.reduced2 * params.reduced1);
        at = q0 * params.stride0 + q1 * params.stride1 + q2 * params.stride2 + q3 * params.stride3;
      }
      sum += f32(x[first + at]);
    }
  }
  sums[thread] = sum;
  for (var half = WORKGROUP / 2; half >= ELEMENTS; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
  }
  if (thread < ELEMENTS && index < params.count) {
    y[index] = Real(sums[thread]);
  }
}
