import type { NetDefinition, NetOptions, PublishedWeights } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { IMAGENET } from "../engine/image/transforms.ts";
import { add } from "../kernels/elementwise/add.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision } from "./imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "./layers.ts";

// K. He, X. Zhang, S. Ren, J. Sun: "Deep residual learning for image recognition", 2015, table 1.

export interface ResNetOptions extends NetOptions {
  /** Gives every convolution a bias before its batch normalization, as some lectures do. */
  readonly convBias: boolean;
}

/** Adds a block's layers to x; `width` is that of its 3x3 convolutions. */
type Block = (name: string, x: Value, width: number, stride: number, bias: boolean) => Value;

/** Two 3x3 convolutions around a shortcut. */
const basic: Block = (name, x, width, stride, bias) => {
  let y = convLayer(`${name}.conv1`, x, width, 3, { stride, padding: 1, bias });
  y = named(`${name}.relu`, relu(batchNormLayer(`${name}.bn1`, y)));
  y = convLayer(`${name}.conv2`, y, width, 3, { padding: 1, bias });
  y = add(batchNormLayer(`${name}.bn2`, y), shortcut(name, x, width, stride, bias));
  return named(name, named(`${name}.relu_1`, relu(y)));
};

/** 1x1 down, 3x3, 1x1 up to four times the width, around a shortcut; the stride is on the 3x3. */
const bottleneck: Block = (name, x, width, stride, bias) => {
  let y = convLayer(`${name}.conv1`, x, width, 1, { bias });
  y = named(`${name}.relu`, relu(batchNormLayer(`${name}.bn1`, y)));
  y = convLayer(`${name}.conv2`, y, width, 3, { stride, padding: 1, bias });
  y = named(`${name}.relu_1`, relu(batchNormLayer(`${name}.bn2`, y)));
  y = convLayer(`${name}.conv3`, y, 4 * width, 1, { bias });
  y = add(batchNormLayer(`${name}.bn3`, y), shortcut(name, x, 4 * width, stride, bias));
  return named(name, named(`${name}.relu_2`, relu(y)));
};

/** x itself, or a projection where the shape changes. */
function shortcut(name: string, x: Value, channels: number, stride: number, bias: boolean): Value {
  if (stride === 1 && x.shape[1] === channels) return x;
  const y = convLayer(`${name}.downsample.0`, x, channels, 1, { stride, bias });
  return named(`${name}.downsample`, batchNormLayer(`${name}.downsample.1`, y));
}

function resnet(
  name: string,
  block: Block,
  depths: readonly number[],
  weights: Readonly<Record<string, PublishedWeights>>,
): NetDefinition<ResNetOptions> {
  return {
    ...imagenet,
    name,
    options: { ...IMAGENET_OPTIONS, convBias: false },
    imageSize: [224, 224],

    build(x, { numClasses, convBias: bias }) {
      x = convLayer("conv1", x, 64, 7, { stride: 2, padding: 3, bias });
      x = named("relu", relu(batchNormLayer("bn1", x)));
      x = named("maxpool", maxPool2d(x, { kernel: 3, stride: 2, padding: 1 }));
      depths.forEach((depth, i) => {
        for (let j = 0; j < depth; j++) x = block(`layer${i + 1}.${j}`, x, 64 * 2 ** i, i > 0 && j === 0 ? 2 : 1, bias);
        named(`layer${i + 1}`, x);
      });
      x = named("flatten", flatten(named("avgpool", adaptiveAvgPool2d(x, { outputSize: 1 }))));
      return linearLayer("fc", x, numClasses);
    },

    weights,
  };
}

/** torchvision's second recipe was trained for images resized to 232 pixels. */
const V2 = { ...IMAGENET, resize: 232 };

export const resnet18 = resnet("resnet18", basic, [2, 2, 2, 2], {
  IMAGENET1K_V1: torchvision("resnet18-f37072fd", "resnet18.tv_in1k"),
});
export const resnet34 = resnet("resnet34", basic, [3, 4, 6, 3], {
  IMAGENET1K_V1: torchvision("resnet34-b627a593", "resnet34.tv_in1k"),
});
export const resnet50 = resnet("resnet50", bottleneck, [3, 4, 6, 3], {
  IMAGENET1K_V1: torchvision("resnet50-0676ba61", "resnet50.tv_in1k"),
  IMAGENET1K_V2: torchvision("resnet50-11ad3fa6", "resnet50.tv2_in1k", V2),
});
export const resnet101 = resnet("resnet101", bottleneck, [3, 4, 23, 3], {
  IMAGENET1K_V1: torchvision("resnet101-63fe2227", "resnet101.tv_in1k"),
  IMAGENET1K_V2: torchvision("resnet101-cd907fc2", "resnet101.tv2_in1k", V2),
});
export const resnet152 = resnet("resnet152", bottleneck, [3, 8, 36, 3], {
  IMAGENET1K_V1: torchvision("resnet152-394f9c45", "resnet152.tv_in1k"),
  IMAGENET1K_V2: torchvision("resnet152-f82ba261", "resnet152.tv2_in1k", V2),
});
