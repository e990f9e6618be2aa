import type { NetDefinition, PublishedWeights } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { concat } from "../kernels/concat.ts";
import { dropout } from "../kernels/dropout.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision } from "./imagenet.ts";
import { convLayer, named } from "./layers.ts";

// F. Iandola et al.: "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", 2016, table 1.

/** Squeezes x to few channels, and expands these to twice `expanded`, by 1x1 and by 3x3 filters. */
function fire(name: string, x: Value, squeezed: number, expanded: number): Value {
  const s = named(`${name}.squeeze_activation`, relu(convLayer(`${name}.squeeze`, x, squeezed, 1)));
  const a = named(`${name}.expand1x1_activation`, relu(convLayer(`${name}.expand1x1`, s, expanded, 1)));
  const b = named(`${name}.expand3x3_activation`, relu(convLayer(`${name}.expand3x3`, s, expanded, 3, { padding: 1 })));
  return named(name, concat(a, b));
}

/** The first convolution, and behind its relu the squeezed channels of a fire module or M for a maximum of 3x3. */
type Configuration = readonly [outChannels: number, kernel: number, layers: readonly (number | "M")[]];

const V1_0: Configuration = [96, 7, ["M", 16, 16, 32, "M", 32, 48, 48, 64, "M", 64]];
const V1_1: Configuration = [64, 3, ["M", 16, 16, "M", 32, 32, "M", 48, 48, 64, 64]];

function squeezenet(
  name: string,
  [outChannels, kernel, layers]: Configuration,
  weights: Readonly<Record<string, PublishedWeights>>,
): NetDefinition {
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [224, 224],

    build(x, { numClasses }) {
      x = named("features.1", relu(convLayer("features.0", x, outChannels, kernel, { stride: 2 })));
      for (const [i, layer] of layers.entries()) {
        const at = `features.${i + 2}`;
        if (layer === "M") x = named(at, maxPool2d(x, { kernel: 3, stride: 2, ceilMode: true }));
        else x = fire(at, x, layer, 4 * layer);
      }
      x = named("features", x);
      x = convLayer("classifier.1", named("classifier.0", dropout(x)), numClasses, 1);
      x = named("classifier.3", adaptiveAvgPool2d(named("classifier.2", relu(x)), { outputSize: 1 }));
      return flatten(named("classifier", x));
    },

    weights,
  };
}

export const squeezenet1_0 = squeezenet("squeezenet1_0", V1_0, {
  IMAGENET1K_V1: torchvision("squeezenet1_0-b66bff10"),
});
export const squeezenet1_1 = squeezenet("squeezenet1_1", V1_1, {
  IMAGENET1K_V1: torchvision("squeezenet1_1-b8a52dc0"),
});
