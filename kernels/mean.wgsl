// mean: y = average of x over some of its dimensions.
//
// Layout: up to four dimensions; "kept" sizes and strides lead to a y element's first x, "reduced" ones through its sum.
// Threads: one per output element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  kept1: u32, kept2: u32, kept3: u32,             // sizes of y; 1 where reduced
  reduced0: u32, reduced1: u32, reduced2: u32, reduced3: u32, // sizes of x that are summed over; 1 where kept
  stride0: u32, stride1: u32, stride2: u32, stride3: u32,     // of x
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
  let p3 = index % params.kept3;
  let p2 = index / params.kept3 % params.kept2;
  let p1 = index / (params.kept3 * params.kept2) % params.kept1;
  let p0 = index / (params.kept3 * params.kept2 * params.kept1);
  let first = p0 * params.stride0 + p1 * params.stride1 + p2 * params.stride2 + p3 * params.stride3;
  var sum = 0.0;
  for (var q0 = 0u; q0 < params.reduced0; q0++) {
    for (var q1 = 0u; q1 < params.reduced1; q1++) {
      for (var q2 = 0u; q2 < params.reduced2; q2++) {
        // Row by row, so that long sums round less.
        var row = 0.0;
        for (var q3 = 0u; q3 < params.reduced3; q3++) {
          row += f32(x[first + q0 * params.stride0 + q1 * params.stride1 + q2 * params.stride2 + q3 * params.stride3]);
        }
        sum += row;
      }
    }
  }
  y[index] = Real(sum / f32(params.reduced0 * params.reduced1 * params.reduced2 * params.reduced3));
}
