// conv2d_stem_weight_gradient: the gradient of a loss by the w of y = conv2d(x, w), from dy, that by y, where x has few channels.
//
//   dw[o,c,k,l] = sum over n,i,j of x[n, c, i s - p + k, j s - p + l] * dy[n,i,j,o]
//
// Outside the image x is 0. Layout: x is read by strides, so that it may be NCHW or NHWC; dy is NHWC in vec4; y is dw, O,C,KH,KW.
// Threads: a workgroup per 8 taps of a row of the filters of 8 output channels, in one channel of x. A thread adds up every
// WORKGROUP-th row of all of dy's images, row by row. What it has loaded of a row of x stays while the window moves on. All is
// named, since where compilers unroll no loops an array stays in memory. Then one thread for each vec4 of the weights adds what
// the threads have: always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 32;
const TAPS: u32 = 8; // or as many as a row of a filter has
const STRIDE: u32 = 1; // of the windows in a row, TAPS at most

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // workgroups
  lines: u32, // rows of all of dy's images
  x_image: u32, x_channel: u32, x_line: u32, x_column: u32, // strides of x
  x_channels: u32, x_height: u32, x_width: u32,
  y_channels: u32, y_vectors: u32, y_height: u32, y_width: u32, // y_vectors: of dy's channels, padded
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_top: u32, pad_left: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

// Columns by taps, the last of which are where the last of eight would be: four by 4 output channels and by the next 4, and then
// the other four taps.
var<workgroup> sums: array<array<mat4x4f, 4>, WORKGROUP>;

// The columns of a row of x that a window shows, after one more has come in.
fn moved(window: mat2x4f, next: f32) -> mat2x4f {
  return mat2x4f(vec4f(window[0].yzw, window[1].x), vec4f(window[1].yzw, next));
}

// An element of a row of x, which begins there; 0 beside it.
fn element(row: u32, column: u32) -> f32 {
  let inside = column < params.x_width; // to the left of the image columns wrap around
  return select(0.0, f32(x[select(0u, row + column * params.x_column, inside)]), inside);
}

fn product(taps: vec4f, channels: vec4f) -> mat4x4f {
  return mat4x4f(taps.x * channels, taps.y * channels, taps.z * channels, taps.w * channels);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = wid.x + wid.y * groups.x;
  let k = index % params.kernel_height;
  let c = index / params.kernel_height % params.x_channels;
  let part = index / (params.kernel_height * params.x_channels);
  let parts = (params.kernel_width + 7) / 8; // of a row of a filter
  let l = part % parts * 8;
  let vector = part / parts * 2;

  var sum = array<mat4x4f, 4>();
  if (index < params.count) {
    for (var line = thread; line < params.lines; line += WORKGROUP) {
      let n = line / params.y_height;
      // Above the image it wraps around.
      let row = (line - n * params.y_height) * params.stride_height + k - params.pad_top;
      if (row >= params.x_height) {
        continue;
      }
      let from_x = n * params.x_image + c * params.x_channel + row * params.x_line;
      var from_y = line * params.y_width * params.y_vectors + vector;
      var column = l - params.pad_left; // that comes next
      var window = mat2x4f();
      for (var t = STRIDE; t < TAPS; t++) {
        window = moved(window, element(from_x, column));
        column++;
      }
      var first_left = mat4x4f();
      var second_left = mat4x4f();
      var first = mat4x4f();
      var second = mat4x4f();
      for (var j = 0u; j < params.y_width; j++) {
        for (var t = 0u; t < STRIDE; t++) {
          window = moved(window, element(from_x, column));
          column++;
        }
        column += params.stride_width - STRIDE;
        let slope = vec4f(dy[from_y]);
        let next_slope = vec4f(dy[from_y + 1]);
        first += product(window[1], slope);
        second += product(window[1], next_slope);
        if (TAPS > 4) {
          first_left[3] += window[0].w * slope;
          second_left[3] += window[0].w * next_slope;
        }
        if (TAPS > 5) {
          first_left[2] += window[0].z * slope;
          second_left[2] += window[0].z * next_slope;
        }
        if (TAPS > 6) {
          first_left[1] += window[0].y * slope;
          second_left[1] += window[0].y * next_slope;
        }
        if (TAPS > 7) {
          first_left[0] += window[0].x * slope;
          second_left[0] += window[0].x * next_slope;
        }
        from_y += params.y_vectors;
      }
      sum[0] += first_left;
      sum[1] += second_left;
      sum[2] += first;
      sum[3] += second;
    }
  }
  sums[thread] = sum;
  workgroupBarrier();
  if (index >= params.count || thread >= 16) {
    return;
  }
  var total = vec4f();
  for (var each = 0u; each < WORKGROUP; each++) {
    total += sums[each][thread / 4][thread % 4];
  }
  let tap = l + thread / 8 * 4 + thread % 4 + TAPS - 8; // huge where there is none
  let o = 4 * (vector + thread / 4 % 2);
  for (var e = 0u; e < 4; e++) {
    if (tap < params.kernel_width && o + e < params.y_channels) {
      y[(((o + e) * params.x_channels + c) * params.kernel_height + k) * params.kernel_width + tap] = Real(total[e]);
    }
  }
}
