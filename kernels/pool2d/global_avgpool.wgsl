// global_avgpool: y[n,c] = mean over the pixels p of x[n,p,c], for GPUs: a thread alone would wait for one pixel after another.
//
// The SLICES threads of a column add up every SLICES-th pixel, with four loads under way at a time, and then each other's sums.
// Layout: x is NHWC in vec4, with the pixels as one dimension; y is [N, C].
// Threads: workgroup (x, y) is COLUMNS vec4s of the channels of image y; thread (i, j) has column i and slice j.

const COLUMNS: u32 = 4;
const SLICES: u32 = 64;
const AT_ONCE = 4u;

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  pixels: u32,
  channels: u32, // in vec4
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<array<vec4f, COLUMNS>, SLICES>;

@compute @workgroup_size(COLUMNS, SLICES)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_id) lid: vec3u) {
  let c = wid.x * COLUMNS + lid.x;
  var parts: array<vec4f, AT_ONCE>;
  for (var first = lid.y; first < params.pixels; first += AT_ONCE * SLICES) {
    for (var k = 0u; k < AT_ONCE; k++) {
      let pixel = first + k * SLICES;
      let exists = pixel < params.pixels && c < params.channels;
      let at = (wid.y * params.pixels + pixel) * params.channels + c;
      parts[k] += select(vec4f(), vec4f(x[select(0u, at, exists)]), exists);
    }
  }
  sums[lid.y][lid.x] = parts[0] + parts[1] + (parts[2] + parts[3]);
  workgroupBarrier();
  for (var half = SLICES / 2; half > 0; half /= 2) {
    if (lid.y < half) {
      sums[lid.y][lid.x] += sums[lid.y + half][lid.x];
    }
    workgroupBarrier();
  }
  if (lid.y == 0 && c < params.channels) {
    y[wid.y * params.channels + c] = vec4<Real>(sums[0][lid.x] / f32(params.pixels));
  }
}
