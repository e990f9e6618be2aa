// preprocess: a picture as the input of a classifier, as torchvision's preset makes it with Pillow: resized with
// antialias, a square cut from the middle, normalized.
//
//   y[c, i, j] = (p[c, i, j] / 255 - mean[c]) / deviation[c]
//
// p is the part of the resized picture that lies in the square, and black around it. Each of its pixels is a mean of the
// picture's: weighed along every row, rounded to a byte, and then down the column of these means, rounded again. The
// weights are triangles or cubics, of which some are negative, in Pillow's fixed point of 22 bits, so that p is Pillow's to
// the bit. (It resizes pictures over 100 times as high as wide in the other order, where rounding can make a difference of
// one.)
//
// Layout: x a texture of the picture, alpha is dropped; weights first for the columns of p, then for its rows: the first
// pixel of each, then taps of each. y is one image of a batch in NCHW, from element start on.
// Threads: one per pixel of the square, for all its channels.

alias Real = f32;

const WORKGROUP: u32 = 8;
const GREY: bool = false; // one channel: luma (ITU-R 601) in place of red, green, blue
const WEIGHT_BITS = vec3u(22);
const HALF = vec3i(1 << 21);

struct Params {
  kept_width: u32, kept_height: u32, // of p
  left: u32, top: u32, // of p in the square
  column_taps: u32, row_taps: u32, // weights of a column and of a row
  crop: u32, // side of the square
  start: u32,
  mean0: f32, mean1: f32, mean2: f32,
  deviation0: f32, deviation1: f32, deviation2: f32,
}

@group(0) @binding(0) var x: texture_2d<f32>;
@group(0) @binding(1) var<storage, read> weights: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

fn load(column: i32, row: i32) -> vec3i {
  let color = vec3i(round(255.0 * textureLoad(x, vec2i(column, row), 0).rgb));
  let luma = (19595 * color.r + 38470 * color.g + 7471 * color.b + 0x8000) >> 16;
  return select(color, vec3i(luma), GREY);
}

fn mean_of_row(j: u32, row: i32) -> vec3i {
  let first = weights[j];
  let taps = params.column_taps;
  var sum = HALF;
  for (var k = 0u; k < taps; k++) {
    sum += weights[params.kept_width + j * taps + k] * load(first + i32(k), row);
  }
  return clamp(sum >> WEIGHT_BITS, vec3i(0), vec3i(255));
}

fn resized_pixel(i: u32, j: u32) -> vec3i {
  let rows = params.kept_width * (1 + params.column_taps);
  let first = weights[rows + i];
  let taps = params.row_taps;
  var sum = HALF;
  for (var k = 0u; k < taps; k++) {
    sum += weights[rows + params.kept_height + i * taps + k] * mean_of_row(j, first + i32(k));
  }
  return clamp(sum >> WEIGHT_BITS, vec3i(0), vec3i(255));
}

@compute @workgroup_size(WORKGROUP, WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  if (any(gid.xy >= vec2u(params.crop))) {
    return;
  }
  // Left of and above the corner this wraps around to large numbers.
  let pixel = gid.xy - vec2u(params.left, params.top);
  var p = vec3i();
  if (all(pixel < vec2u(params.kept_width, params.kept_height))) {
    p = resized_pixel(pixel.y, pixel.x);
  }
  let mean = vec3f(params.mean0, params.mean1, params.mean2);
  let deviation = vec3f(params.deviation0, params.deviation1, params.deviation2);
  let normal = (vec3f(p) / 255.0 - mean) / deviation;
  let plane = params.crop * params.crop;
  let index = params.start + gid.y * params.crop + gid.x;
  y[index] = Real(normal.r);
  if (!GREY) {
    y[index + plane] = Real(normal.g);
    y[index + 2 * plane] = Real(normal.b);
  }
}
