// lrn_nhwc: local response normalization of NHWC images, see lrn. A thread goes over STRIP neighbouring vec4s of one pixel's
// channels and keeps three of them at a time, so that hardly any input is read twice.
//
// Layout: x and y are [pixels, C] with C in vec4; size is at most 9, so that a sum never leaves the neighbouring vec4s.
// Threads: one per (pixel, strip).

const WORKGROUP: u32 = 64;
const STRIP = 8u;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32,    // pixels * strips
  strips: u32,   // of a pixel
  channels: u32, // in vec4
  size: i32,
  alpha: f32, // divided by size already
  beta: f32,
  k: f32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let first = index / params.strips * params.channels;
  let start = index % params.strips * STRIP;
  let end = min(start + STRIP, params.channels);
  let below = params.size / 2;
  let above = (params.size - 1) / 2;

  var current = vec4f(x[first + start]);
  var previous = vec4f();
  if (start > 0) {
    previous = vec4f(x[first + start - 1]);
  }
  previous *= previous;
  for (var c = start; c < end; c++) {
    var next = vec4f();
    if (c + 1 < params.channels) {
      next = vec4f(x[first + c + 1]);
    }
    let squares = array<vec4f, 3>(previous, current * current, next * next);
    var sum = vec4f();
    for (var o = -4; o <= 4; o++) {
      // The squares of the channels o further on: the end of one vec4 and the start of the next.
      var shifted: vec4f;
      for (var e = 0; e < 4; e++) {
        let at = 4 + o + e;
        shifted[e] = squares[at / 4][at % 4];
      }
      sum += select(vec4f(), shifted, o >= -below && o <= above);
    }
    y[first + c] = vec4<Real>(current / pow(params.k + params.alpha * sum, vec4f(params.beta)));
    previous = squares[1];
    current = next;
  }
}
