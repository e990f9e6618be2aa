// gather_gradient: y[o,p,i] = sum of dy[o,j,i] over those j whose indices[j] name the place p.
//
// Layout: y seen as [outer, size, inner], dy as [outer, picks, inner].
// Threads: a workgroup per element of y. Each thread looks at every WORKGROUP-th index, then half of them add the sums of the
// others until one is left: always in the same order, and without atomics.

const WORKGROUP: u32 = 64; // a power of two

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,
  size: u32,
  picks: u32,
  inner: u32,
}

@group(0) @binding(0) var<storage, read> indices: array<Real>;
@group(0) @binding(1) var<storage, read> dy: array<Real>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = wid.x + wid.y * groups.x;
  let i = index % params.inner;
  let p = index / params.inner % params.size;
  let outer = index / (params.inner * params.size);
  let size = f32(params.size);
  var sum = 0.0;
  if (index < params.count) {
    for (var j = thread; j < params.picks; j += WORKGROUP) {
      let named = f32(indices[j]);
      let place = select(named, named + size, named < 0);
      // As in gather.wgsl: NaN is no place, nor is what is beyond the ends.
      let is_place = place >= 0 && place < size && (bitcast<u32>(named) & 0x7fffffffu) <= 0x7f800000u;
      if (is_place && u32(place) == p) {
        sum += f32(dy[(outer * params.picks + j) * params.inner + i]);
      }
    }
  }
  sums[thread] = sum;
  for (var half = WORKGROUP / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
  }
  if (thread == 0 && index < params.count) {
    y[index] = Real(sums[0]);
  }
}
