// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.

export const avgpool2d = `// avgpool2d: y[n,c,i,j] = (sum of x over the window) / divisor.
//
// The divisor is the number of the window's elements inside the image, that of those inside the padded image (the padding
// counts, what ceilMode adds beyond it does not), or a given number.
// Layout: NCHW, with N and C as one dimension planes.
// Threads: one per output element, in the order of (plane, i, j).

const WORKGROUP: u32 = 64;
const COUNT_INCLUDE_PAD: bool = true;

struct Params {
  count: u32, // output elements
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  divisor: u32, // 0: by the window
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
  let j = index % params.y_width;
  let i = index / params.y_width % params.y_height;
  let plane = index / (params.y_width * params.y_height);

  let size = vec2i(i32(params.x_height), i32(params.x_width));
  let pad = vec2i(params.pad_height, params.pad_width);
  let start = vec2i(i32(i * params.stride_height), i32(j * params.stride_width)) - pad;
  let padded_end = min(start + vec2i(i32(params.kernel_height), i32(params.kernel_width)), size + pad);
  let first = max(start, vec2i(0));
  let end = min(padded_end, size);

  var sum = 0.0;
  for (var row = first.x; row < end.x; row++) {
    let x_row = (plane * params.x_height + u32(row)) * params.x_width;
    for (var column = first.y; column < end.y; column++) {
      sum += x[x_row + u32(column)];
    }
  }
  let window = select(end - first, padded_end - start, COUNT_INCLUDE_PAD);
  let divisor = select(u32(window.x * window.y), params.divisor, params.divisor > 0);
  y[index] = sum / f32(divisor);
}
`;

export const conv2d = `// conv2d, plain: the definition as it stands, and the reference for every faster variant.
//
//   y[n,o,i,j] = b[o] + sum over c,k,l of x[n, g C + c, i s - p + k d, j s - p + l d] * w[o,c,k,l]
//
// C input channels per group; g is the group of output channel o; outside the image x is 0.
// Epilogue: + r[n,o,i,j], then relu, each if asked for.
// Layout: x, r, y are NCHW; w is O,C,KH,KW. A long w may come in pieces: this dispatch has the output channels
// first .. first + channels - 1, and w starts at channel "first".
// Threads: one per output element, in the order of (n, channel, i, j).

const WORKGROUP: u32 = 64;
const BIAS: bool = true;
const RESIDUAL: bool = false;
const RELU: bool = false;

struct Params {
  count: u32, // output elements of this dispatch
  first: u32,
  channels: u32,
  x_channels: u32, x_height: u32, x_width: u32,
  y_channels: u32, y_height: u32, y_width: u32,
  group_in: u32, group_out: u32, // channels per group
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> r: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

// Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
fn relu(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return select(v, 0.0, bits >= 0x80000000u && bits <= 0xff800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let j = index % params.y_width;
  let i = index / params.y_width % params.y_height;
  let channel = index / (params.y_width * params.y_height) % params.channels;
  let n = index / (params.y_width * params.y_height * params.channels);
  let o = params.first + channel;

  let x_first = n * params.x_channels + o / params.group_out * params.group_in;
  let w_first = channel * params.group_in;
  let top = i32(i * params.stride_height) - params.pad_top;
  let left = i32(j * params.stride_width) - params.pad_left;
  var sum = 0.0;
  for (var c = 0u; c < params.group_in; c++) {
    for (var k = 0u; k < params.kernel_height; k++) {
      let row = top + i32(k * params.dilation_height);
      if (row < 0 || row >= i32(params.x_height)) {
        continue;
      }
      let x_row = ((x_first + c) * params.x_height + u32(row)) * params.x_width;
      let w_row = ((w_first + c) * params.kernel_height + k) * params.kernel_width;
      for (var l = 0u; l < params.kernel_width; l++) {
        let column = left + i32(l * params.dilation_width);
        if (column >= 0 && column < i32(params.x_width)) {
          sum += x[x_row + u32(column)] * w[w_row + l];
        }
      }
    }
  }
  if (BIAS) {
    sum += b[o];
  }
  let out = ((n * params.y_channels + o) * params.y_height + i) * params.y_width + j;
  if (RESIDUAL) {
    sum += r[out];
  }
  y[out] = select(sum, relu(sum), RELU);
}
`;

export const linear = `// linear, plain: y[n,o] = b[o] + sum over k of x[n,k] * w[o,k], then relu if asked for.
//
// Layout: x [N,K], w [O,K], y [N,O], rows first. A long w may come in pieces: this dispatch has the rows
// first .. first + rows - 1 of w.
// Threads: one per output element, in the order of (n, row).

const WORKGROUP: u32 = 64;
const BIAS: bool = true;
const RELU: bool = false;

struct Params {
  count: u32, // output elements of this dispatch
  first: u32,
  rows: u32,
  in_features: u32,
  out_features: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
fn relu(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return select(v, 0.0, bits >= 0x80000000u && bits <= 0xff800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let row = index % params.rows;
  let n = index / params.rows;
  let o = params.first + row;
  // Four running sums: shorter chains of additions round less and wait less for one another.
  var sums = vec4f();
  var k = 0u;
  for (; k + 4 <= params.in_features; k += 4) {
    let i = n * params.in_features + k;
    let j = row * params.in_features + k;
    sums += vec4f(x[i], x[i + 1], x[i + 2], x[i + 3]) * vec4f(w[j], w[j + 1], w[j + 2], w[j + 3]);
  }
  for (; k < params.in_features; k++) {
    sums.x += x[n * params.in_features + k] * w[row * params.in_features + k];
  }
  var sum = (sums.x + sums.y) + (sums.z + sums.w);
  if (BIAS) {
    sum += b[o];
  }
  y[n * params.out_features + o] = select(sum, relu(sum), RELU);
}
`;

export const relu = `// relu: y = max(x, 0). Negative values and -0 become 0; NaN stays. On bits, since WGSL may assume that there is no NaN.
//
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
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
  let bits = bitcast<u32>(x[index]);
  y[index] = select(x[index], 0.0, bits >= 0x80000000u && bits <= 0xff800000u);
}
`;

export const softmax = `// softmax: y[i] = e^(x[i] - max x) / sum of e^(x[k] - max x), along one dimension.
//
// Layout: the tensor seen as [outer, size, inner], softmax along size.
// Threads: one per (outer, inner). It reads its elements twice: the running sum is scaled down whenever the running
// maximum grows (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).

const WORKGROUP: u32 = 64;

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
    y[i] = exp(x[i] - largest) / sum;
  }
}
`;

export const tanh = `// tanh: y = (e^2x - 1) / (e^2x + 1), without the overflow and the cancellation of that form.
//
// Near 0 by the series x - x^3/3 + 2 x^5/15 - 17 x^7/315 + 62 x^9/2835, else as 1 - 2 / (e^2|x| + 1) with x's sign.
// WGSL's own tanh may be as coarse as sinh/cosh and overflow with them. NaN stays.
// Layout: any; element by element.
// Threads: one per element.

const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
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
  let v = x[index];
  let s = v * v;
  let series = v * (1.0 - s * (1.0 / 3.0 - s * (2.0 / 15.0 - s * (17.0 / 315.0 - s * (62.0 / 2835.0)))));
  // tanh(10) rounds to 1.
  let far = sign(v) * (1.0 - 2.0 / (exp(2.0 * min(abs(v), 10.0)) + 1.0));
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(select(far, series, s < 0.09), v, is_nan);
}
`;
