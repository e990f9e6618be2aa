// stretch: y[n,c,k s,l t] = x[n,c,k,l], and 0 between, + r if asked for: what a stride leaves out of a gradient. If x has several
// phases, the channels of the p-th are at the p-th place of the s x t that a pixel covers.
//
// Layout: NCHW or NHWC; of x's channels those of a phase lie side by side.
// Threads: one per element of y, in its order.

const WORKGROUP: u32 = 64;
// Constants, since divisions by others cost more than all the rest.
const STRIDE_HEIGHT: u32 = 2;
const STRIDE_WIDTH: u32 = 2;
const CHANNELS: bool = false; // NHWC
const RESIDUAL: bool = false;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels
alias Value = f32;

struct Params {
  count: u32,
  channels: u32, // of y
  phases: u32,
  x_height: u32, x_width: u32,
  y_height: u32, y_width: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read> r: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let index = gid.x + gid.y * groups.x * WORKGROUP;
  if (index >= params.count) {
    return;
  }
  // Both have dimensions in front of those of the image, and one of them has the channels.
  let pixel = select(index, index / params.channels, CHANNELS);
  let line = pixel / params.y_width;
  let plane = line / params.y_height;
  let n = select(plane / params.channels, plane, CHANNELS);
  let c = select(plane, index, CHANNELS) % params.channels;
  let row = line % params.y_height;
  let column = pixel % params.y_width;

  let k = row / STRIDE_HEIGHT;
  let l = column / STRIDE_WIDTH;
  let phase = row % STRIDE_HEIGHT * STRIDE_WIDTH + column % STRIDE_WIDTH;
  let is_there = phase < params.phases && k < params.x_height && l < params.x_width;
  let channel = phase * params.channels + c;
  let x_channels = params.phases * params.channels;
  let at = select(
    ((n * x_channels + channel) * params.x_height + k) * params.x_width + l,
    ((n * params.x_height + k) * params.x_width + l) * x_channels + channel,
    CHANNELS,
  );
  var v = select(Value(), Value(x[select(0, at, is_there)]), is_there);
  if (RESIDUAL) {
    v += Value(r[index]);
  }
  y[index] = Element(v);
}
