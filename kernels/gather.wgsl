// gather: y[o,j,i] = x[o, indices[j], i], the places in one dimension of x that indices name.
//
// Layout: x seen as [outer, size, inner], y as [outer, picks, inner].
// Threads: one per element of y.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  size: u32,
  picks: u32,
  inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> indices: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let named = f32(indices[index / params.inner % params.picks]);
  let size = f32(params.size);
  let place = select(named, named + size, named < 0);
  // NaN is no place either: on bits, since WGSL may assume that there is none.
  let is_place = place >= 0 && place < size && (bitcast<u32>(named) & 0x7fffffffu) <= 0x7f800000u;
  let outer = index / (params.inner * params.picks);
  let from_x = (outer * params.size + select(0, u32(place), is_place)) * params.inner + index % params.inner;
  y[index] = Real(select(bitcast<f32>(select(0x7fc00000u, 0u, is_place)), f32(x[from_x]), is_place));
}
