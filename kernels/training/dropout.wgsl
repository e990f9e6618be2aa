// dropout: y = x / (1 - p) where a hash of the place and the key says so, with probability 1 - p, else 0.
//
// The same key gives the same places, so that gradients go where values went. No generator has a state, and so none a place
// in memory. Hash: PCG, as M. Jarzynski and M. Olano take it ("Hash functions for GPU rendering", 2020).
// Layout: any; element by element. key: a whole number below 2^24 that differs from step to step.
// Threads: one per element.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  layer: u32, // a number of its own for each layer
  dropped: u32, // p 2^32: hashes below it drop what they are of
  scale: f32, // 1 / (1 - p)
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> key: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

fn pcg(v: u32) -> u32 {
  let state = v * 747796405 + 2891336453;
  let word = ((state >> ((state >> 28) + 4)) ^ state) * 277803737;
  return (word >> 22) ^ word;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let hash = pcg(index ^ pcg(u32(key[0]) ^ pcg(params.layer)));
  y[index] = Real(select(params.scale * f32(x[index]), 0, hash < params.dropped));
}
