// copy: y = x, to measure how fast memory is.
//
// Layout: x and y in vec4s.
// Threads: one per vec4.

const WORKGROUP: u32 = 64;

struct Params {
  count: u32, // vec4s
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index < params.count) {
    y[index] = x[index];
  }
}
