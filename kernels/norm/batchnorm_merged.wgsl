// batchnorm_merged: y[0,c] = mean of channel c, y[1,c] = its variance, from those of its parts: the mean of the parts' variances
// and of the squared differences of their means from the whole one's. T. Chan, G. Golub and R. LeVeque, "Updating formulae and a
// pairwise algorithm for computing sample variances", 1979.
//
// Layout: x is [parts, 2, C], y is [2, C].
// Threads: one per channel.

const WORKGROUP: u32 = 64;

alias Real = f32; // what tensors are stored as; arithmetic is f32
alias Element = Real; // or of four channels: see kernels/vectors.ts
alias Value = f32;

struct Params {
  channels: u32,
  terms: u32, // of a channel
  part: u32, // of these; the last part may have less
}

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) gid: vec3u) {
  let c = gid.x;
  if (c >= params.channels) {
    return;
  }
  // Differences from one of the means have more digits than the means themselves.
  let rough = Value(x[c]);
  var sum = Value();
  var at = c;
  for (var first = 0u; first < params.terms; first += params.part) {
    sum += f32(min(params.part, params.terms - first)) * (Value(x[at]) - rough);
    at += 2 * params.channels;
  }
  let mean = sum / f32(params.terms); // but for the rough one
  var squares = Value();
  at = c;
  for (var first = 0u; first < params.terms; first += params.part) {
    let difference = Value(x[at]) - rough - mean;
    squares += f32(min(params.part, params.terms - first)) * (Value(x[at + params.channels]) + difference * difference);
    at += 2 * params.channels;
  }
  y[c] = Element(rough + mean);
  y[params.channels + c] = Element(squares / f32(params.terms));
}
