// concat: copies one of the inputs to its place along one dimension of the output; one dispatch per input.
//
// Layout: the input seen as [outer, size, inner], the output as [outer, y_size, inner].
// Threads: one per element of the input.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four numbers: see kernels/vectors.ts

struct Params {
  count: u32,
  size_inner: u32, // size * inner
  y_pitch: u32, // from one outer place of the output to the next
  y_first: u32, // first * inner, first being the input's place in the output
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
  let outer = index / params.size_inner;
  y[outer * params.y_pitch + params.y_first + index % params.size_inner] = x[index];
}
