// linear_gemv: y[n,o] = b[o] + sum over k of x[n,k] * w[o,k], then an activation if asked for; for small batches, where the time
// goes into reading w. A workgroup computes four rows of w for IMAGES images, so that w is read once, side by side. Its threads
// add up through the workgroup's memory: subgroups have one size on few devices.
//
// Layout: x [N,K] and w [O,K] with K in vec4, y [N,O]. A long w may come in pieces: this dispatch has the rows
// first .. first + rows - 1 of w.
// Threads: workgroup (x, y) is a group of rows, z a group of images; thread q takes every THREADS-th vec4.

const THREADS: u32 = 64;
const IMAGES: u32 = 1;
const BEYOND_RELU: u32 = 0; // the other activation that is compiled in, for calls that ask for it

const ROWS = 4u; // the components of a vec4 of sums

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Value = f32;
alias Bits = u32;

struct Params {
  batch: u32,
  first: u32,
  rows: u32,
  in_features: u32, // in vec4
  out_features: u32,
  bias: u32, // 1 if asked for: no constant, since every further pipeline takes long to compile
  activation: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<Real>>;
@group(0) @binding(1) var<storage, read> w: array<vec4<Real>>;
@group(0) @binding(2) var<storage, read> b: array<Real>;
@group(0) @binding(3) var<storage, read_write> y: array<Real>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> partial: array<array<vec4f, IMAGES>, THREADS>;

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

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let first_row = (wid.x + wid.y * groups.x) * ROWS;
  let first_image = wid.z * IMAGES;
  // What is read for rows and images beyond the last is not used.
  var sums: array<mat4x4f, IMAGES>; // a column per row of w
  for (var k = thread; k < params.in_features; k += THREADS) {
    for (var n = 0u; n < IMAGES; n++) {
      let inputs = vec4f(x[(first_image + n) * params.in_features + k]);
      for (var row = 0u; row < ROWS; row++) {
        sums[n][row] += inputs * vec4f(w[(first_row + row) * params.in_features + k]);
      }
    }
  }
  for (var n = 0u; n < IMAGES; n++) {
    partial[thread][n] = vec4f(1) * sums[n];
  }
  workgroupBarrier();
  for (var half = THREADS / 2; half > 0; half /= 2) {
    if (thread < half) {
      for (var n = 0u; n < IMAGES; n++) {
        partial[thread][n] += partial[thread + half][n];
      }
    }
    workgroupBarrier();
  }
  for (var n = 0u; n < IMAGES; n++) {
    for (var row = 0u; row < ROWS; row++) {
      let o = params.first + first_row + row;
      var sum = partial[0][n][row];
      if (params.bias == 1) {
        sum += f32(b[o]);
      }
      if (thread == 0 && first_row + row < params.rows && first_image + n < params.batch) {
        y[(first_image + n) * params.out_features + o] = Real(activate(sum, params.activation));
      }
    }
  }
}
