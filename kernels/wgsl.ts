// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.

export const adaptive_avgpool2d = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
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

  let top = i * params.x_height / params.y_height;
  let bottom = ((i + 1) * params.x_height + params.y_height - 1) / params.y_height;
  let left = j * params.x_width / params.y_width;
  let right = ((j + 1) * params.x_width + params.y_width - 1) / params.y_width;
  var sum = 0.0;
  for (var row = top; row < bottom; row++) {

    var row_sum = 0.0;
    for (var column = left; column < right; column++) {
      row_sum += x[(plane * params.x_height + row) * params.x_width + column];
    }
    sum += row_sum;
  }
  y[index] = sum / f32((bottom - top) * (right - left));
}
`;

export const adaptive_avgpool2d_nhwc = `





const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  channels: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let pixel = index / params.channels;
  let j = pixel % params.y_width;
  let i = pixel / params.y_width % params.y_height;
  let n = pixel / (params.y_width * params.y_height);

  let top = i * params.x_height / params.y_height;
  let bottom = ((i + 1) * params.x_height + params.y_height - 1) / params.y_height;
  let left = j * params.x_width / params.y_width;
  let right = ((j + 1) * params.x_width + params.y_width - 1) / params.y_width;
  var sum = vec4f();
  for (var row = top; row < bottom; row++) {

    var row_sum = vec4f();
    for (var column = left; column < right; column++) {
      row_sum += x[((n * params.x_height + row) * params.x_width + column) * params.channels + c];
    }
    sum += row_sum;
  }
  y[index] = sum / f32((bottom - top) * (right - left));
}
`;

export const add = `




const WORKGROUP: u32 = 64;
const RELU: bool = false;

struct Params {
  count: u32,
  size1: u32, size2: u32, size3: u32,
  a0: u32, a1: u32, a2: u32, a3: u32,
  b0: u32, b1: u32, b2: u32, b3: u32,
  alpha: f32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;


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
  let p3 = index % params.size3;
  let p2 = index / params.size3 % params.size2;
  let p1 = index / (params.size3 * params.size2) % params.size1;
  let p0 = index / (params.size3 * params.size2 * params.size1);
  let left = a[p0 * params.a0 + p1 * params.a1 + p2 * params.a2 + p3 * params.a3];
  let right = b[p0 * params.b0 + p1 * params.b1 + p2 * params.b2 + p3 * params.b3];
  let sum = left + params.alpha * right;
  y[index] = select(sum, relu(sum), RELU);
}
`;

export const avgpool2d = `






const WORKGROUP: u32 = 64;
const COUNT_INCLUDE_PAD: bool = true;

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  divisor: u32,
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

export const batchnorm = `




const WORKGROUP: u32 = 64;
const WEIGHT: bool = true;
const BIAS: bool = true;

struct Params {
  count: u32,
  channels: u32,
  inner: u32,
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> variance: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index / params.inner % params.channels;
  var v = (x[index] - mean[c]) / sqrt(variance[c] + params.eps);
  if (WEIGHT) {
    v *= weight[c];
  }
  if (BIAS) {
    v += bias[c];
  }
  y[index] = v;
}
`;

export const channel_shuffle = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  channels: u32,
  inner: u32,
  groups: u32,
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
  let c = index / params.inner % params.channels;
  let from_c = c % params.groups * (params.channels / params.groups) + c / params.groups;
  y[index] = x[index - c * params.inner + from_c * params.inner];
}
`;

export const clamp = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  low: f32,
  high: f32,
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
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(min(max(v, params.low), params.high), v, is_nan);
}
`;

export const concat = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  size_inner: u32,
  y_size_inner: u32,
  offset: u32,
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
  let outer = index / params.size_inner;
  y[outer * params.y_size_inner + params.offset + index % params.size_inner] = x[index];
}
`;

export const conv2d = `









const WORKGROUP: u32 = 64;
const BIAS: bool = true;
const RESIDUAL: bool = false;
const RELU: bool = false;

struct Params {
  count: u32,
  first: u32,
  channels: u32,
  x_channels: u32, x_height: u32, x_width: u32,
  y_channels: u32, y_height: u32, y_width: u32,
  group_in: u32, group_out: u32,
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

export const conv2d_subgroup = `enable subgroups;











const SUBGROUP: u32 = 8;
const PIXELS: u32 = 4;
const CHANNELS: u32 = 8;


const LOADS = (CHANNELS + SUBGROUP - 1) / SUBGROUP;

struct Params {
  pixels: u32,
  x_height: u32, x_width: u32, x_channels: u32,
  y_height: u32, y_width: u32, y_channels: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  channel_tiles: u32,
  x_stride: u32, w_stride: u32, y_stride: u32,
  bias: u32, residual: u32, relu: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> r: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;


fn relu(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  return select(v, vec4f(), (bits >= vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u)));
}

@compute @workgroup_size(SUBGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_pixel = (wid.x + wid.y * groups.x) * SUBGROUP * PIXELS + lane;
  let first_channel = wid.z % params.channel_tiles * CHANNELS;
  let product = wid.z / params.channel_tiles;
  var image: array<u32, PIXELS>;
  var top: array<i32, PIXELS>;
  var left: array<i32, PIXELS>;
  for (var p = 0u; p < PIXELS; p++) {
    let pixel = first_pixel + p * SUBGROUP;
    image[p] = pixel / (params.y_height * params.y_width);
    top[p] = i32(pixel / params.y_width % params.y_height * params.stride_height) - params.pad_top;
    left[p] = i32(pixel % params.y_width * params.stride_width) - params.pad_left;
  }

  var sums: array<array<vec4f, CHANNELS>, PIXELS>;
  if (params.bias == 1) {
    for (var q = 0u; q < CHANNELS; q++) {
      let bias = b[first_channel + q];
      for (var p = 0u; p < PIXELS; p++) {
        sums[p][q] = bias;
      }
    }
  }
  var w_row = product * params.w_stride + first_channel + lane;
  for (var k = 0u; k < params.kernel_height; k++) {
    for (var l = 0u; l < params.kernel_width; l++) {
      var x_first: array<u32, PIXELS>;
      var inside: array<bool, PIXELS>;
      for (var p = 0u; p < PIXELS; p++) {
        let row = top[p] + i32(k * params.dilation_height);
        let column = left[p] + i32(l * params.dilation_width);
        inside[p] = row >= 0 && row < i32(params.x_height) && column >= 0 && column < i32(params.x_width);
        let position = (image[p] * params.x_height + u32(row)) * params.x_width + u32(column);
        x_first[p] = product * params.x_stride + select(0u, position * params.x_channels, inside[p]);
      }
      for (var c = 0u; c < params.x_channels; c++) {
        var inputs: array<vec4f, PIXELS>;
        for (var p = 0u; p < PIXELS; p++) {
          inputs[p] = select(vec4f(), x[x_first[p] + c], inside[p]);
        }
        for (var e = 0u; e < 4; e++) {
          var loaded: array<vec4f, LOADS>;
          for (var load = 0u; load < LOADS; load++) {
            loaded[load] = w[w_row + load * SUBGROUP];
          }
          w_row += params.y_channels;
          for (var q = 0u; q < CHANNELS; q++) {
            let weights = subgroupShuffle(loaded[q / SUBGROUP], q % SUBGROUP);
            for (var p = 0u; p < PIXELS; p++) {
              sums[p][q] += inputs[p][e] * weights;
            }
          }
        }
      }
    }
  }

  for (var p = 0u; p < PIXELS; p++) {
    let pixel = first_pixel + p * SUBGROUP;
    for (var q = 0u; q < CHANNELS; q++) {
      let channel = first_channel + q;
      if (pixel >= params.pixels || channel >= params.y_channels) {
        continue;
      }
      let out = product * params.y_stride + pixel * params.y_channels + channel;
      var sum = sums[p][q];
      if (params.residual == 1) {
        sum += r[out];
      }
      y[out] = select(sum, relu(sum), params.relu == 1);
    }
  }
}
`;

export const conv2d_tile = `











const SIDE = 8u;
const PIXELS = 64u;
const CHANNELS = 16u;
const DEPTH = 4u;
const LOADS = PIXELS * DEPTH / (SIDE * SIDE);

struct Params {
  pixels: u32,
  x_height: u32, x_width: u32, x_channels: u32,
  y_height: u32, y_width: u32, y_channels: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  dilation_height: u32, dilation_width: u32,
  pad_top: i32, pad_left: i32,
  channel_tiles: u32,
  x_stride: u32, w_stride: u32, y_stride: u32,
  bias: u32, residual: u32, relu: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> r: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> inputs: array<array<vec4f, PIXELS>, DEPTH>;
var<workgroup> weights: array<array<vec4f, CHANNELS>, DEPTH * 4>;


fn relu(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  return select(v, vec4f(), (bits >= vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u)));
}

@compute @workgroup_size(SIDE, SIDE)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) lid: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_pixel = (wid.x + wid.y * groups.x) * PIXELS;
  let first_channel = wid.z % params.channel_tiles * CHANNELS;
  let product = wid.z / params.channel_tiles;


  let own = first_pixel + thread;
  let image = own / (params.y_height * params.y_width);
  let top = i32(own / params.y_width % params.y_height * params.stride_height) - params.pad_top;
  let left = i32(own % params.y_width * params.stride_width) - params.pad_left;

  var sums: array<array<vec4f, 2>, 8>;
  for (var k = 0u; k < params.kernel_height; k++) {
    for (var l = 0u; l < params.kernel_width; l++) {
      let row = top + i32(k * params.dilation_height);
      let column = left + i32(l * params.dilation_width);
      let inside = own < params.pixels
        && row >= 0 && row < i32(params.x_height) && column >= 0 && column < i32(params.x_width);
      let position = (image * params.x_height + u32(row)) * params.x_width + u32(column);
      let x_first = product * params.x_stride + select(0u, position * params.x_channels, inside);
      let w_first = product * params.w_stride
        + (k * params.kernel_width + l) * params.x_channels * 4 * params.y_channels;

      for (var c = 0u; c < params.x_channels; c += DEPTH) {
        for (var d = 0u; d < LOADS; d++) {
          let here = inside && c + d < params.x_channels;
          inputs[d][thread] = select(vec4f(), x[select(0u, x_first + c + d, here)], here);
        }
        for (var load = 0u; load < LOADS; load++) {
          let depth = (thread + load * SIDE * SIDE) / CHANNELS;
          let channel = first_channel + thread % CHANNELS;
          let here = c * 4 + depth < params.x_channels * 4 && channel < params.y_channels;
          let at = w_first + (c * 4 + depth) * params.y_channels + channel;
          weights[depth][thread % CHANNELS] = select(vec4f(), w[select(0u, at, here)], here);
        }
        workgroupBarrier();
        for (var d = 0u; d < DEPTH; d++) {
          for (var e = 0u; e < 4; e++) {
            let w0 = weights[d * 4 + e][lid.x];
            let w1 = weights[d * 4 + e][lid.x + SIDE];
            for (var p = 0u; p < 8; p++) {
              let v = inputs[d][lid.y + p * SIDE][e];
              sums[p][0] += v * w0;
              sums[p][1] += v * w1;
            }
          }
        }
        workgroupBarrier();
      }
    }
  }

  for (var p = 0u; p < 8; p++) {
    let pixel = first_pixel + lid.y + p * SIDE;
    for (var q = 0u; q < 2; q++) {
      let channel = first_channel + lid.x + q * SIDE;
      if (pixel >= params.pixels || channel >= params.y_channels) {
        continue;
      }
      let out = product * params.y_stride + pixel * params.y_channels + channel;
      var sum = sums[p][q];
      if (params.bias == 1) {
        sum += b[channel];
      }
      if (params.residual == 1) {
        sum += r[out];
      }
      y[out] = select(sum, relu(sum), params.relu == 1);
    }
  }
}
`;

export const gelu = `





const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

fn erf(v: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * abs(v));
  let polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(v) * (1.0 - polynomial * exp(-v * v));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let v = x[index];
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(0.5 * v * (1.0 + erf(v * 0.7071067811865476)), v, is_nan);
}
`;

export const hardsigmoid = `




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
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(clamp(v + 3.0, 0.0, 6.0) / 6.0, v, is_nan);
}
`;

export const hardswish = `




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
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(v * clamp(v + 3.0, 0.0, 6.0) / 6.0, v, is_nan);
}
`;

export const leaky_relu = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  negativeSlope: f32,
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
  let is_negative = (bitcast<u32>(v) & 0x80000000u) != 0;
  y[index] = v * select(1.0, params.negativeSlope, is_negative);
}
`;

export const linear = `





const WORKGROUP: u32 = 64;
const BIAS: bool = true;
const RELU: bool = false;

struct Params {
  count: u32,
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

export const linear_gemv = `enable subgroups;







const SUBGROUP: u32 = 8;
const ROWS: u32 = 4;
const IMAGES: u32 = 1;
const BIAS: bool = true;
const RELU: bool = false;

struct Params {
  batch: u32,
  first: u32,
  rows: u32,
  in_features: u32,
  out_features: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;


fn relu(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  return select(v, 0.0, bits >= 0x80000000u && bits <= 0xff800000u);
}

@compute @workgroup_size(SUBGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let first_row = (wid.x + wid.y * groups.x) * ROWS;
  let first_image = wid.z * IMAGES;

  var sums: array<array<vec4f, ROWS>, IMAGES>;
  for (var k = lane; k < params.in_features; k += SUBGROUP) {
    var inputs: array<vec4f, IMAGES>;
    for (var n = 0u; n < IMAGES; n++) {
      inputs[n] = x[min(first_image + n, params.batch - 1) * params.in_features + k];
    }
    for (var row = 0u; row < ROWS; row++) {
      let weights = w[min(first_row + row, params.rows - 1) * params.in_features + k];
      for (var n = 0u; n < IMAGES; n++) {
        sums[n][row] += inputs[n] * weights;
      }
    }
  }
  for (var row = 0u; row < ROWS; row++) {
    for (var n = 0u; n < IMAGES; n++) {
      var sum = subgroupAdd((sums[n][row].x + sums[n][row].y) + (sums[n][row].z + sums[n][row].w));
      let o = params.first + first_row + row;
      if (BIAS) {
        sum += b[min(o, params.out_features - 1)];
      }
      if (lane == 0 && first_row + row < params.rows && first_image + n < params.batch) {
        y[(first_image + n) * params.out_features + o] = select(sum, relu(sum), RELU);
      }
    }
  }
}
`;

export const lrn = `





const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  channels: u32,
  inner: u32,
  size: u32,
  alpha: f32,
  beta: f32,
  k: f32,
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
  let c = index / params.inner % params.channels;
  let below = min(c, params.size / 2);
  let above = min(params.channels - 1 - c, (params.size - 1) / 2);
  let first = index - below * params.inner;
  var sum = 0.0;
  for (var q = 0u; q <= below + above; q++) {
    let v = x[first + q * params.inner];
    sum += v * v;
  }
  y[index] = x[index] / pow(params.k + params.alpha * sum, params.beta);
}
`;

export const matmul = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  m: u32,
  n: u32,
  k: u32,
  a_stride: u32,
  b_stride: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let j = index % params.n;
  let i = index / params.n % params.m;
  let batch = index / (params.n * params.m);
  let a_first = batch * params.a_stride + i * params.k;
  let b_first = batch * params.b_stride + j;
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) {
    sum += a[a_first + k] * b[b_first + k * params.n];
  }
  y[index] = sum;
}
`;

export const maxpool2d = `






const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  dilation_height: u32, dilation_width: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;


const LOWEST = bitcast<i32>(0x807fffffu);


fn sortable(bits: i32) -> i32 {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

fn key(v: f32) -> i32 {
  let bits = bitcast<i32>(v);
  let is_nan = (bits & 0x7fffffff) > 0x7f800000;
  return select(sortable(bits), 0x7fffffff, is_nan);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let j = index % params.y_width;
  let i = index / params.y_width % params.y_height;
  let plane = index / (params.y_width * params.y_height);

  let top = i32(i * params.stride_height) - params.pad_height;
  let left = i32(j * params.stride_width) - params.pad_width;
  var largest = LOWEST;
  for (var k = 0u; k < params.kernel_height; k++) {
    let row = top + i32(k * params.dilation_height);
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    let x_row = (plane * params.x_height + u32(row)) * params.x_width;
    for (var l = 0u; l < params.kernel_width; l++) {
      let column = left + i32(l * params.dilation_width);
      if (column >= 0 && column < i32(params.x_width)) {
        largest = max(largest, key(x[x_row + u32(column)]));
      }
    }
  }
  y[index] = bitcast<f32>(sortable(largest));
}
`;

export const maxpool2d_nhwc = `





const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  channels: u32,
  kernel_height: u32, kernel_width: u32,
  stride_height: u32, stride_width: u32,
  pad_height: i32, pad_width: i32,
  dilation_height: u32, dilation_width: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;


const LOWEST = bitcast<i32>(0x807fffffu);


fn sortable(bits: vec4i) -> vec4i {
  return bits ^ ((bits >> vec4u(31)) & vec4i(0x7fffffff));
}

fn key(v: vec4f) -> vec4i {
  let bits = bitcast<vec4i>(v);
  let is_nan = (bits & vec4i(0x7fffffff)) > vec4i(0x7f800000);
  return select(sortable(bits), vec4i(0x7fffffff), is_nan);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let pixel = index / params.channels;
  let j = pixel % params.y_width;
  let i = pixel / params.y_width % params.y_height;
  let n = pixel / (params.y_width * params.y_height);

  let top = i32(i * params.stride_height) - params.pad_height;
  let left = i32(j * params.stride_width) - params.pad_width;
  var largest = vec4i(LOWEST);
  for (var k = 0u; k < params.kernel_height; k++) {
    let row = top + i32(k * params.dilation_height);
    if (row < 0 || row >= i32(params.x_height)) {
      continue;
    }
    let x_row = (n * params.x_height + u32(row)) * params.x_width;
    for (var l = 0u; l < params.kernel_width; l++) {
      let column = left + i32(l * params.dilation_width);
      if (column >= 0 && column < i32(params.x_width)) {
        largest = max(largest, key(x[(x_row + u32(column)) * params.channels + c]));
      }
    }
  }
  y[index] = bitcast<vec4f>(sortable(largest));
}
`;

export const mean = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  kept1: u32, kept2: u32, kept3: u32,
  reduced0: u32, reduced1: u32, reduced2: u32, reduced3: u32,
  stride0: u32, stride1: u32, stride2: u32, stride3: u32,
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
  let p3 = index % params.kept3;
  let p2 = index / params.kept3 % params.kept2;
  let p1 = index / (params.kept3 * params.kept2) % params.kept1;
  let p0 = index / (params.kept3 * params.kept2 * params.kept1);
  let first = p0 * params.stride0 + p1 * params.stride1 + p2 * params.stride2 + p3 * params.stride3;
  var sum = 0.0;
  for (var q0 = 0u; q0 < params.reduced0; q0++) {
    for (var q1 = 0u; q1 < params.reduced1; q1++) {
      for (var q2 = 0u; q2 < params.reduced2; q2++) {

        var row = 0.0;
        for (var q3 = 0u; q3 < params.reduced3; q3++) {
          row += x[first + q0 * params.stride0 + q1 * params.stride1 + q2 * params.stride2 + q3 * params.stride3];
        }
        sum += row;
      }
    }
  }
  y[index] = sum / f32(params.reduced0 * params.reduced1 * params.reduced2 * params.reduced3);
}
`;

export const mul = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  size1: u32, size2: u32, size3: u32,
  a0: u32, a1: u32, a2: u32, a3: u32,
  b0: u32, b1: u32, b2: u32, b3: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let p3 = index % params.size3;
  let p2 = index / params.size3 % params.size2;
  let p1 = index / (params.size3 * params.size2) % params.size1;
  let p0 = index / (params.size3 * params.size2 * params.size1);
  let left = a[p0 * params.a0 + p1 * params.a1 + p2 * params.a2 + p3 * params.a3];
  let right = b[p0 * params.b0 + p1 * params.b1 + p2 * params.b2 + p3 * params.b3];
  y[index] = left * right;
}
`;

export const pad = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
  top: u32, left: u32,
  value: f32,
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

  let column = index % params.y_width - params.left;
  let row = index / params.y_width % params.y_height - params.top;
  let plane = index / (params.y_width * params.y_height);
  var v = params.value;
  if (row < params.x_height && column < params.x_width) {
    v = x[(plane * params.x_height + row) * params.x_width + column];
  }
  y[index] = v;
}
`;

export const relu = `




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

export const sigmoid = `




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
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(1.0 / (1.0 + exp(-v)), v, is_nan);
}
`;

export const silu = `




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
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(v / (1.0 + exp(-v)), v, is_nan);
}
`;

export const softmax = `





const WORKGROUP: u32 = 64;
const LOG: bool = false;

struct Params {
  count: u32,
  size: u32,
  inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;


fn is_unfit(v: f32) -> bool {
  let bits = bitcast<u32>(v);
  return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let first = index / params.inner * params.size * params.inner + index % params.inner;
  var largest = x[first];
  var sum = 1.0;
  var unfit = is_unfit(largest);
  for (var k = 1u; k < params.size; k++) {
    let v = x[first + k * params.inner];
    unfit = unfit || is_unfit(v);
    if (v > largest) {
      sum = sum * exp(largest - v) + 1.0;
      largest = v;
    } else {
      sum += exp(v - largest);
    }
  }

  unfit = unfit || bitcast<u32>(largest) == 0xff800000u;
  let nan = bitcast<f32>(select(0u, 0x7fc00000u, unfit));
  for (var k = 0u; k < params.size; k++) {
    let i = first + k * params.inner;
    let v = x[i] - largest;
    y[i] = select(select(exp(v) / sum, v - log(sum), LOG), nan, unfit);
  }
}
`;

export const tanh = `






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

  let far = sign(v) * (1.0 - 2.0 / (exp(2.0 * min(abs(v), 10.0)) + 1.0));
  let is_nan = (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
  y[index] = select(select(far, series, s < 0.09), v, is_nan);
}
`;

export const to_nchw = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  pixels: u32,
  x_channels: u32,
  y_channels: u32,
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
  let pixel = index % params.pixels;
  let c = index / params.pixels % params.y_channels;
  let n = index / (params.pixels * params.y_channels);
  y[index] = x[(n * params.pixels + pixel) * params.x_channels + c];
}
`;

export const to_nhwc = `




const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  pixels: u32,
  x_channels: u32,
  y_channels: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let pixel = index % params.pixels;
  let c = index / params.pixels % params.y_channels;
  let n = index / (params.pixels * params.y_channels);
  var v = vec4f();
  for (var e = 0u; e < 4; e++) {
    let channel = c * 4 + e;
    if (channel < params.x_channels) {
      v[e] = x[(n * params.x_channels + channel) * params.pixels + pixel];
    }
  }
  y[(n * params.pixels + pixel) * params.y_channels + c] = v;
}
`;

export const winograd_input = `






const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  tiles: u32,
  tiles_height: u32, tiles_width: u32,
  x_height: u32, x_width: u32,
  channels: u32,
  pad_top: i32, pad_left: i32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

const P = 0.7071067811865476;
const Q = 1.4142135623730951;


fn transform(d: array<vec4f, 6>) -> array<vec4f, 6> {
  let even_p = d[4] - 2.0 * d[2];
  let odd_p = P * (d[3] - 2.0 * d[1]);
  let even_q = d[4] - 0.5 * d[2];
  let odd_q = Q * (d[3] - 0.5 * d[1]);
  return array<vec4f, 6>(
    d[0] - 2.5 * d[2] + d[4],
    even_p + odd_p, even_p - odd_p,
    even_q + odd_q, even_q - odd_q,
    d[1] - 2.5 * d[3] + d[5],
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let tile = index / params.channels;
  let left = i32(tile % params.tiles_width * 4) - params.pad_left;
  let top = i32(tile / params.tiles_width % params.tiles_height * 4) - params.pad_top;
  let n = tile / (params.tiles_width * params.tiles_height);

  var columns: array<array<vec4f, 6>, 6>;
  for (var j = 0; j < 6; j++) {
    var d: array<vec4f, 6>;
    for (var i = 0; i < 6; i++) {
      let row = top + i;
      let column = left + j;
      let inside = row >= 0 && row < i32(params.x_height) && column >= 0 && column < i32(params.x_width);
      let position = (n * params.x_height + u32(row)) * params.x_width + u32(column);
      d[i] = select(vec4f(), x[select(0u, position * params.channels + c, inside)], inside);
    }
    columns[j] = transform(d);
  }
  for (var i = 0u; i < 6; i++) {
    let row = transform(array<vec4f, 6>(columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]));
    for (var j = 0u; j < 6; j++) {
      y[((i * 6 + j) * params.tiles + tile) * params.channels + c] = row[j];
    }
  }
}
`;

export const winograd_output = `





const WORKGROUP: u32 = 64;

struct Params {
  count: u32,
  tiles: u32,
  tiles_height: u32, tiles_width: u32,
  y_height: u32, y_width: u32,
  channels: u32,
  bias: u32, residual: u32, relu: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read> r: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;


fn relu(v: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(v);
  return select(v, vec4f(), (bits >= vec4u(0x80000000u)) & (bits <= vec4u(0xff800000u)));
}

const P = 0.7071067811865476;
const Q = 1.4142135623730951;


fn transform(m: array<vec4f, 6>) -> array<vec4f, 4> {
  let even_p = m[1] + m[2];
  let odd_p = P * (m[1] - m[2]);
  let even_q = m[3] + m[4];
  let odd_q = Q * (m[3] - m[4]);
  return array<vec4f, 4>(
    m[0] + even_p + even_q,
    odd_p + odd_q,
    0.5 * even_p + 2.0 * even_q,
    0.5 * odd_p + 2.0 * odd_q + m[5],
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let tile = index / params.channels;
  let left = tile % params.tiles_width * 4;
  let top = tile / params.tiles_width % params.tiles_height * 4;
  let n = tile / (params.tiles_width * params.tiles_height);

  var columns: array<array<vec4f, 4>, 6>;
  for (var j = 0u; j < 6; j++) {
    var m: array<vec4f, 6>;
    for (var i = 0u; i < 6; i++) {
      m[i] = x[((i * 6 + j) * params.tiles + tile) * params.channels + c];
    }
    columns[j] = transform(m);
  }
  for (var i = 0u; i < 4; i++) {
    let row = transform(array<vec4f, 6>(columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i]));
    for (var j = 0u; j < 4; j++) {
      if (top + i >= params.y_height || left + j >= params.y_width) {
        continue;
      }
      let out = ((n * params.y_height + top + i) * params.y_width + left + j) * params.channels + c;
      var sum = row[j];
      if (params.bias == 1) {
        sum += b[c];
      }
      if (params.residual == 1) {
        sum += r[out];
      }
      y[out] = select(sum, relu(sum), params.relu == 1);
    }
  }
}
`;
