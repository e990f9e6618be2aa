import type { NetDefinition } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { concat } from "../kernels/concat.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { avgPool2d } from "../kernels/pool2d/avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision } from "./imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "./layers.ts";

// G. Huang, Z. Liu, L. van der Maaten, K. Weinberger: "Densely connected convolutional networks", 2016, table 1.

/** A layer of a dense block: `growth` more channels, by way of four times as many. */
function denseLayer(name: string, x: Value, growth: number): Value {
  let y = named(`${name}.relu1`, relu(batchNormLayer(`${name}.norm1`, x)));
  y = convLayer(`${name}.conv1`, y, 4 * growth, 1, { bias: false });
  y = named(`${name}.relu2`, relu(batchNormLayer(`${name}.norm2`, y)));
  return named(name, convLayer(`${name}.conv2`, y, growth, 3, { padding: 1, bias: false }));
}

/** Half the channels and half the sides. */
function transition(name: string, x: Value): Value {
  const y = named(`${name}.relu`, relu(batchNormLayer(`${name}.norm`, x)));
  const z = convLayer(`${name}.conv`, y, Math.floor(x.shape[1] / 2), 1, { bias: false });
  return named(name, named(`${name}.pool`, avgPool2d(z, { kernel: 2 })));
}

function densenet(name: string, growth: number, depths: readonly number[], stem: number, file: string): NetDefinition {
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [224, 224],

    build(x, { numClasses }) {
      x = convLayer("features.conv0", x, stem, 7, { stride: 2, padding: 3, bias: false });
      x = named("features.relu0", relu(batchNormLayer("features.norm0", x)));
      x = named("features.pool0", maxPool2d(x, { kernel: 3, stride: 2, padding: 1 }));
      for (const [i, depth] of depths.entries()) {
        if (i > 0) x = transition(`features.transition${i}`, x);
        const block = `features.denseblock${i + 1}`;
        for (let j = 1; j <= depth; j++) x = concat(x, denseLayer(`${block}.denselayer${j}`, x, growth));
        named(block, x);
      }
      x = named("relu", relu(named("features", batchNormLayer("features.norm5", x))));
      return linearLayer("classifier", flatten(adaptiveAvgPool2d(x, { outputSize: 1 })), numClasses);
    },

    weights: { IMAGENET1K_V1: torchvision(file) },
    // As PyTorch 0.3 called them, and the published files still do.
    rename: (given) => given.replace(/(denselayer\d+\.(?:norm|conv))\.([12]\.)/, "$1$2"),
  };
}

export const densenet121 = densenet("densenet121", 32, [6, 12, 24, 16], 64, "densenet121-a639ec97");
export const densenet161 = densenet("densenet161", 48, [6, 12, 36, 24], 96, "densenet161-8d451a50");
export const densenet169 = densenet("densenet169", 32, [6, 12, 32, 32], 64, "densenet169-b2777c0a");
export const densenet201 = densenet("densenet201", 32, [6, 12, 48, 32], 64, "densenet201-c1103571");
