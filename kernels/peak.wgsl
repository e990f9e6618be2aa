// peak: as many multiply-adds as the device can do, to measure how many those are. Every thread repeats v = v * x[0] + x[1]
// on eight numbers of its own, ROUNDS times each, and y is their sum. With x = [1, 1] they count the rounds, exactly.
//
// Eight chains of which none waits for another keep the units busy, and fit in registers, with the factor and the term,
// even where there are sixteen. Memory is touched only at both ends. A compiler cannot know x, and so drop nothing.
// Layout: x [2], y one number per thread.
// Threads: one per element of y.

const WORKGROUP: u32 = 64;
const REPEATS: u32 = 128;

// Rounds without a branch: a loop with constant bounds and a short body is unrolled by compilers.
const UNROLLED = 32u;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(global_invocation_id) gid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let factor = vec4f(x[0]);
  let term = vec4f(x[1]);
  // Other numbers for every thread and chain, lest they be computed once for all.
  var a = vec4f(0, 1, 2, 3) + f32(lid);
  var b = vec4f(4, 5, 6, 7) + f32(lid);
  for (var i = 0u; i < REPEATS; i++) {
    for (var j = 0u; j < UNROLLED; j++) {
      a = a * factor + term;
      b = b * factor + term;
    }
  }
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index < params.count) {
    y[index] = dot(a + b, vec4f(1));
  }
}
