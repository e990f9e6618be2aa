// channel_shuffle: the channels, seen as [groups, C / groups], transposed to [C / groups, groups].
//
// Layout: [N, C, inner].
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  channels: u32,
  inner: u32,
  groups: u32,
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
  let c = index / params.inner % params.channels;
  let from_c = c % params.groups * (params.channels / params.groups) + c / params.groups;
  y[index] = x[index - c * params.inner + from_c * params.inner];
}
