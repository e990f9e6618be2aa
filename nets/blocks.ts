import type { Value } from "../engine/graph/value.ts";
import { mul } from "../kernels/elementwise/mul.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { sigmoid } from "../kernels/elementwise/sigmoid.ts";
import type { Pair } from "../kernels/options.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { batchNormLayer, convLayer, named } from "./layers.ts";

// What several families are built of, under torchvision's names.

/** relu and its like, of a value alone. */
export type Activation = (x: Value) => Value;

export interface ConvNormOptions {
  readonly stride?: number;
  readonly groups?: number;
  /** None by default. */
  readonly activation?: Activation;
  /** Of the batch norm, as its momentum; PyTorch's by default. */
  readonly eps?: number;
  readonly momentum?: number;
}

/**
 * A convolution without bias (`name.0`), its batch norm (`name.1`) and an activation (`name.2`), padded so that an image keeps
 * its size but for the stride: torchvision's Conv2dNormActivation.
 */
export function convNormLayer(
  name: string,
  x: Value,
  outChannels: number,
  kernel: number,
  { stride = 1, groups = 1, activation, ...norm }: ConvNormOptions = {},
): Value {
  const padding = (kernel - 1) / 2;
  const y = convLayer(`${name}.0`, x, outChannels, kernel, { stride, padding, groups, bias: false });
  const z = batchNormLayer(`${name}.1`, y, norm);
  return named(name, activation ? named(`${name}.2`, activation(z)) : z);
}

/** Convolutions without bias and their batch norms, numbered as layers of one sequence; each has a relu unless it is not `active`. */
export function sequence(name: string, norm: { readonly momentum?: number } = {}) {
  let i = 0;
  return {
    /** The number of the next layer, for what is none of these. */
    next: () => i++,
    add(x: Value, channels: number, kernel: number, { stride = 1, groups = 1, active = true } = {}): Value {
      const padding = (kernel - 1) / 2;
      let y = convLayer(`${name}.${i++}`, x, channels, kernel, { stride, padding, groups, bias: false });
      y = batchNormLayer(`${name}.${i++}`, y, norm);
      return active ? named(`${name}.${i++}`, relu(y)) : y;
    },
  };
}

/**
 * Weighs the channels of x by what two 1x1 convolutions make of their means: J. Hu, L. Shen, G. Sun: "Squeeze-and-excitation
 * networks", 2017.
 */
export function squeezeExcitation(
  name: string,
  x: Value,
  squeezed: number,
  activation: Activation = relu,
  gate: Activation = sigmoid,
): Value {
  let y = named(`${name}.avgpool`, adaptiveAvgPool2d(x, { outputSize: 1 }));
  y = named(`${name}.activation`, activation(convLayer(`${name}.fc1`, y, squeezed, 1)));
  y = named(`${name}.scale_activation`, gate(convLayer(`${name}.fc2`, y, x.shape[1], 1)));
  return named(name, mul(x, y));
}

/** The multiple of `divisor` next to a number of channels, not below nine tenths of it: as MobileNet's authors round. */
export function divisible(channels: number, divisor = 8): number {
  const rounded = Math.max(divisor, Math.floor(channels / divisor + 0.5) * divisor);
  return rounded < 0.9 * channels ? rounded + divisor : rounded;
}

/** A convolution, its batch norm and a relu, as Inception's authors call the three together. */
export function basicConv(
  name: string,
  x: Value,
  outChannels: number,
  kernel: Pair,
  options: { readonly stride?: number; readonly padding?: Pair } = {},
): Value {
  const y = batchNormLayer(
    `${name}.bn`,
    convLayer(`${name}.conv`, x, outChannels, kernel, { ...options, bias: false }),
    {
      eps: 0.001,
    },
  );
  return named(name, relu(y));
}
