import type { Graph } from "../engine/graph/graph.ts";
import { checkValue, type Value } from "../engine/graph/value.ts";
import { checkCount, checkObject, checkText, show } from "../engine/ground/errors.ts";
import { type Conv2dOptions, conv2d } from "../kernels/conv2d/conv2d.ts";
import { linear } from "../kernels/linear/linear.ts";
import { batchNorm } from "../kernels/norm/batchnorm.ts";
import { type Pair, pair } from "../kernels/options.ts";

// Layers with parameters of their own, under torchvision's names: a layer "fc" has fc.weight and fc.bias, and its
// output can be asked for as the feature "fc".

/** The graph that a layer is added to; throws a UsageError unless it has a name, a value, and options that are an object. */
function graphOf(name: string, x: Value, options: object = {}): Graph {
  checkText("a name", name);
  checkValue(`the input of ${show(name)}`, x);
  checkObject(`the options of ${show(name)}`, options);
  return x.graph;
}

/** Names a layer's output. */
export const named = (name: string, x: Value): Value => graphOf(name, x).name(name, x);

/** A convolution with `outChannels` filters of `kernel` x `kernel` pixels, or of [height, width]. */
export function convLayer(
  name: string,
  x: Value,
  outChannels: number,
  kernel: Pair,
  given: Partial<Conv2dOptions> & { bias?: boolean } = {},
): Value {
  const graph = graphOf(name, x, given);
  const { bias = true, ...options } = given;
  const { groups = 1 } = options;
  checkCount("groups", groups);
  const w = graph.param(`${name}.weight`, [outChannels, x.shape[1] / groups, ...pair("kernel", kernel)]);
  const b = bias ? graph.param(`${name}.bias`, [outChannels]) : undefined;
  return named(name, conv2d(x, w, b, options));
}

/** Batch normalization with running statistics; `output` is its name where that of the layer is another value's. */
export function batchNormLayer(
  name: string,
  x: Value,
  options: { readonly eps?: number; readonly momentum?: number } = {},
  output = name,
): Value {
  const graph = graphOf(name, x, options);
  const perChannel = [x.shape[1]];
  const mean = graph.statistic(`${name}.running_mean`, perChannel);
  const variance = graph.statistic(`${name}.running_var`, perChannel);
  const weight = graph.param(`${name}.weight`, perChannel);
  const bias = graph.param(`${name}.bias`, perChannel);
  return named(output, batchNorm(x, mean, variance, weight, bias, options));
}

/** A fully connected layer on x [..., K]; a net for one image size only says with `inFeatures` what K must be. */
export function linearLayer(
  name: string,
  x: Value,
  outFeatures: number,
  given: { readonly inFeatures?: number; readonly bias?: boolean } = {},
): Value {
  const graph = graphOf(name, x, given);
  const { bias = true, inFeatures = x.shape.at(-1) as number } = given;
  const w = graph.param(`${name}.weight`, [outFeatures, inFeatures]);
  const b = bias ? graph.param(`${name}.bias`, [outFeatures]) : undefined;
  return named(name, linear(x, w, b));
}
