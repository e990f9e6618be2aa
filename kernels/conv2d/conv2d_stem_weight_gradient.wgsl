// conv2d_stem_weight_gradient: the gradient of a loss by the w of y = conv2d(x, w), from dy, that by y, where x has few channels.
//
//   dw[o,c,k,l] = sum over n,i,j of x[n, c, i s - p + k, j s - p + l] * dy[n,i,j,o]
//
// Outside the image x is 0. Layout: x is read by strides, so that it may be NCHW or NHWC; dy is NHWC in vec4; y is dw, O,C,KH,KW.
// Threads: a workgroup per row of the filters of 8 output channels in one channel of x. A thread adds up every WORKGROUP-th row
// of all of dy's images, row by row. What it has loaded of a row of x stays while the window moves on. Then one thread for each
// vec4 of the weights adds what the threads have: always in the same order, and with the error of sums that are much shorter.

const WORKGROUP: u32 = 32;
const TAPS: u32 = 5; // of a row of a filter; their vec4s are no more than WORKGROUP
const STRIDE: u32 = 1; // of the windows in a row, or TAPS where it is more

alias Real = f32; // what tensors are stored as; arithmetic is f32

struct Params {
  count: u32, // workgroups
  lines: u32, // rows of all of dy's images
  x_image: u32, x_channel: u32, x_line: u32, x_column: u32, // strides of x
  x_channels: u32, x_height: u32, x_width: u32,
  y_channels: u32, y_vectors: u32, y_height: u32, y_width: u32, // y_vectors: of dy's channels, padded
  kernel_height: u32,
  stride_height: u32, stride_width: u32,
  pad_top: u32, pad_left: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Real>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read_write> y: array<Real>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sums: array<array<vec4f, 2 * TAPS>, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let index = wid.x + wid.y * groups.x;
  let k = index % params.kernel_height;
  let c = index / params.kernel_height % params.x_channels;
  let vector = index / (params.kernel_height * params.x_channels) * 2;

  var sum: array<vec4f, 2 * TAPS>;
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
      // Where the next tap is that is loaded: to the left of the image this wraps around, too.
      var column = 0 - params.pad_left;
      var window: array<f32, TAPS>;
      for (var t = STRIDE; t < TAPS; t++) {
        let inside = column < params.x_width;
        window[t] = select(0.0, f32(x[select(0u, from_x + column * params.x_column, inside)]), inside);
        column++;
      }
      var part = array<vec4f, 2 * TAPS>(); // Dawn clears what has no initial value once, not in every round
      for (var j = 0u; j < params.y_width; j++) {
        for (var t = 0u; t < TAPS - STRIDE; t++) {
          window[t] = window[t + STRIDE];
        }
        for (var t = TAPS - STRIDE; t < TAPS; t++) {
          let inside = column < params.x_width;
          window[t] = select(0.0, f32(x[select(0u, from_x + column * params.x_column, inside)]), inside);
          column++;
        }
        column += params.stride_width - STRIDE;
        let first = vec4f(dy[from_y]);
        let second = vec4f(dy[from_y + 1]);
        for (var t = 0u; t < TAPS; t++) {
          part[2 * t] += window[t] * first;
          part[2 * t + 1] += window[t] * second;
        }
        from_y += params.y_vectors;
      }
      for (var t = 0u; t < 2 * TAPS; t++) {
        sum[t] += part[t];
      }
    }
  }
  sums[thread] = sum;
  workgroupBarrier();
  if (index >= params.count || thread >= 2 * TAPS) {
    return;
  }
  var total = vec4f();
  for (var each = 0u; each < WORKGROUP; each++) {
    total += sums[each][thread];
  }
  let o = 4 * (vector + thread % 2);
  for (var e = 0u; e < 4; e++) {
    if (o + e < params.y_channels) {
      y[(((o + e) * params.x_channels + c) * params.kernel_height + k) * TAPS + thread / 2] = Real(total[e]);
    }
  }
}
