// softmax: y[i] = e^(x[i] - max x) / sum of e^(x[k] - max x), along one dimension; its logarithm with LOG.
//
// Layout: the tensor seen as [outer, size, inner], softmax along size.
// Threads: one per (outer, inner). It reads its elements twice: the running sum is scaled down whenever the running
// maximum grows (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).

const WORKGROUP: u32 = 64;
const LOG: bool = false;

struct Params {
  count: u32, // outer * inner
  size: u32,
  inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let first = index / params.inner * params.size * params.inner + index % params.inner;
  var largest = x[first];
  var sum = 1.0;
  for (var k = 1u; k < params.size; k++) {
    let v = x[first + k * params.inner];
    if (v > largest) {
      sum = sum * exp(largest - v) + 1.0;
      largest = v;
    } else {
      sum += exp(v - largest);
    }
  }
  for (var k = 0u; k < params.size; k++) {
    let i = first + k * params.inner;
    if (LOG) {
      y[i] = x[i] - largest - log(sum);
    } else {
      y[i] = exp(x[i] - largest) / sum;
    }
  }
}
