import type { Value } from "../engine/graph/value.ts";
import { type Conv2dOptions, conv2d } from "../kernels/conv2d/conv2d.ts";
import { linear } from "../kernels/linear/linear.ts";
import { batchNorm } from "../kernels/norm/batchnorm.ts";

// Layers with parameters of their own, under torchvision's names: a layer "fc" has fc.weight and fc.bias, and its
// output can be asked for as the feature "fc".

/** Names a layer's output. */
export const named = (name: string, x: Value): Value => x.graph.name(name, x);

/** A convolution with `outChannels` filters of `kernel` x `kernel` pixels. */
export function convLayer(
  name: string,
  x: Value,
  outChannels: number,
  kernel: number,
  { bias = true, ...options }: Partial<Conv2dOptions> & { bias?: boolean } = {},
): Value {
  const w = x.graph.param(`${name}.weight`, [outChannels, x.shape[1] / (options.groups ?? 1), kernel, kernel]);
  const b = bias ? x.graph.param(`${name}.bias`, [outChannels]) : undefined;
  return named(name, conv2d(x, w, b, options));
}

/** Batch normalization with running statistics. */
export function batchNormLayer(name: string, x: Value): Value {
  const { graph, shape } = x;
  const perChannel = [shape[1]];
  const mean = graph.statistic(`${name}.running_mean`, perChannel);
  const variance = graph.statistic(`${name}.running_var`, perChannel);
  const weight = graph.param(`${name}.weight`, perChannel);
  const bias = graph.param(`${name}.bias`, perChannel);
  return named(name, batchNorm(x, mean, variance, weight, bias));
}

/** A fully connected layer on x [N, K]; a net for one image size only says what K must be. */
export function linearLayer(name: string, x: Value, outFeatures: number, inFeatures = x.shape[1]): Value {
  const w = x.graph.param(`${name}.weight`, [outFeatures, inFeatures]);
  return named(name, linear(x, w, x.graph.param(`${name}.bias`, [outFeatures])));
}
