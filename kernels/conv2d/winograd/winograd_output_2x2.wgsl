// winograd_output_2x2: Y = A^T m A for every 4x4 matrix m of products: the last step of the convolution F(2x2, 3x3), see
// winograd_input_2x2. Epilogue: + b, + r, an activation, each if asked for.
//
// Layout: x is [16, tiles, C] in vec4; y and r NHWC in vec4.
// Threads: one per (tile, vec4 of channels), which writes 2x2 pixels as far as they are in the image.

const WORKGROUP: u32 = 64;
const UNROLL: bool = false; // the loops: see winograd_input
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Value = vec4f;
alias Bits = vec4u;

struct Params {
  count: u32, // tiles * channels
  side: u32, // 4
  tiles: u32,
  tiles_height: u32, tiles_width: u32,
  y_height: u32, y_width: u32,
  channels: u32, // in vec4
  y_pitch: u32, y_first: u32, // of the rows of channels that are written: see kernels/layout/join.ts
  bias: u32, residual: u32, // 1 if asked for: not constants, since every further pipeline takes long to compile
  activation: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read> r: array<vec4<Real>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<Real>>;
@group(0) @binding(4) var<uniform> params: Params;

// What is applied last: y = f(v) by its number in kernels/activation.ts. NaN stays: tested on bits, since WGSL may assume that
// there is none.
fn activate(v: Value, activation: u32) -> Value {
  let bits = bitcast<Bits>(v);
  let positive = select(v, Value(), (bits >= Bits(0x80000000)) & (bits <= Bits(0xff800000)));
  var y = select(v, positive, activation == 1); // relu
  if (BEYOND_RELU > 0 && activation > 1) {
    switch BEYOND_RELU {
      case 2 { y = min(positive, Value(6)); }                   // relu6
      case 3 { y = v / (1 + exp(-v)); }                         // silu
      case 4 { y = v * clamp(v + 3, Value(), Value(6)) / 6; }   // hardswish
      case 5 { y = clamp(v + 3, Value(), Value(6)) / 6; }       // hardsigmoid
      case 6 { y = 1 / (1 + exp(-v)); }                         // sigmoid
      default {                                                 // tanh: see tanh.wgsl
        let s = v * v;
        let series = v * (1 - s * (1.0 / 3 - s * (2.0 / 15 - s * (17.0 / 315 - s * (62.0 / 2835)))));
        let far = sign(v) * (1 - 2 / (exp(2 * min(abs(v), Value(10))) + 1));
        y = select(far, series, s < Value(0.09));
      }
    }
    y = select(y, v, (bits & Bits(0x7fffffff)) > Bits(0x7f800000));
  }
  return y;
}

// A^T times a column.
fn transform(m: array<vec4f, 4>) -> array<vec4f, 2> {
  return array<vec4f, 2>(m[0] + m[1] + m[2], m[1] - m[2] + m[3]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  let c = index % params.channels;
  let tile = index / params.channels;
  let left = tile % params.tiles_width * 2;
  let top = tile / params.tiles_width % params.tiles_height * 2;
  let n = tile / (params.tiles_width * params.tiles_height);

  // No loop has indices of its own into an array, but moves the array up, which costs nothing where loops are unrolled.
  let side = select(params.side, 4u, UNROLL);
  var columns: array<array<vec4f, 2>, 4>;
  for (var i = 0u; i < side; i++) {
    var m: array<vec4f, 4>;
    for (var j = 0u; j < side; j++) {
      for (var k = 0u; k < 3; k++) {
        m[k] = m[k + 1];
      }
      m[3] = vec4f(x[index + (4 * j + i) * params.tiles * params.channels]);
    }
    for (var k = 0u; k < 3; k++) {
      columns[k] = columns[k + 1];
    }
    columns[3] = transform(m);
  }
  var bias = vec4f();
  if (params.bias == 1) {
    bias = vec4f(b[c]);
  }
  for (var i = 0u; i < side - 2; i++) {
    let row = top + i;
    var values = transform(array<vec4f, 4>(columns[0][0], columns[1][0], columns[2][0], columns[3][0]));
    for (var j = 0u; j < side - 2; j++) {
      let column = left + j;
      if (row < params.y_height && column < params.y_width) {
        let out = ((n * params.y_height + row) * params.y_width + column) * params.y_pitch + params.y_first + c;
        var sum = values[0] + bias;
        if (params.residual == 1) {
          sum += vec4f(r[out]);
        }
        y[out] = vec4<Real>(activate(sum, params.activation));
      }
      for (var k = 0u; k < 1; k++) {
        values[k] = values[k + 1];
      }
    }
    for (var k = 0u; k < 4; k++) {
      for (var l = 0u; l < 1; l++) {
        columns[k][l] = columns[k][l + 1];
      }
    }
  }
}
