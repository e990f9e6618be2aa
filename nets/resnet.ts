import type { NetDefinition, NetOptions, PublishedWeights } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { add } from "../kernels/elementwise/add.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision, V2 } from "./imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "./layers.ts";

// K. He, X. Zhang, S. Ren, J. Sun: "Deep residual learning for image recognition", 2015, table 1.

export interface ResNetOptions extends NetOptions {
  /** Gives every convolution a bias before its batch normalization, as some lectures do. */
  readonly convBias: boolean;
}

/** A block: the channels of its stage, the stride of its first 3x3 convolution, and whether convolutions have a bias. */
type Block = (name: string, x: Value, channels: number, stride: number, bias: boolean) => Value;

/** Two 3x3 convolutions around a shortcut. */
const basic: Block = (name, x, width, stride, bias) => {
  let y = convLayer(`${name}.conv1`, x, width, 3, { stride, padding: 1, bias });
  y = named(`${name}.relu`, relu(batchNormLayer(`${name}.bn1`, y)));
  y = convLayer(`${name}.conv2`, y, width, 3, { padding: 1, bias });
  y = add(batchNormLayer(`${name}.bn2`, y), shortcut(name, x, width, stride, bias));
  return named(name, named(`${name}.relu_1`, relu(y)));
};

/**
 * 1x1 down, 3x3, 1x1 up to four times the channels, around a shortcut; the stride is on the 3x3, whose channels may be more
 * (S. Zagoruyko, N. Komodakis: "Wide residual networks", 2016) or in groups (S. Xie et al.: "Aggregated residual
 * transformations for deep neural networks", 2016). `base` channels of each group are for 64 of the stage's.
 */
const bottleneck =
  (base = 64, groups = 1): Block =>
  (name, x, channels, stride, bias) => {
    const width = ((channels * base) / 64) * groups;
    let y = convLayer(`${name}.conv1`, x, width, 1, { bias });
    y = named(`${name}.relu`, relu(batchNormLayer(`${name}.bn1`, y)));
    y = convLayer(`${name}.conv2`, y, width, 3, { stride, padding: 1, groups, bias });
    y = named(`${name}.relu_1`, relu(batchNormLayer(`${name}.bn2`, y)));
    y = convLayer(`${name}.conv3`, y, 4 * channels, 1, { bias });
    y = add(batchNormLayer(`${name}.bn3`, y), shortcut(name, x, 4 * channels, stride, bias));
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

/** The weights of both recipes. */
const both = (name: string, first: string, second: string) => ({
  IMAGENET1K_V1: torchvision(`${name}-${first}`, `${name}.tv_in1k`),
  IMAGENET1K_V2: torchvision(`${name}-${second}`, `${name}.tv2_in1k`, V2),
});

export const resnet18 = resnet("resnet18", basic, [2, 2, 2, 2], {
  IMAGENET1K_V1: torchvision("resnet18-f37072fd", "resnet18.tv_in1k"),
});
export const resnet34 = resnet("resnet34", basic, [3, 4, 6, 3], {
  IMAGENET1K_V1: torchvision("resnet34-b627a593", "resnet34.tv_in1k"),
});
export const resnet50 = resnet("resnet50", bottleneck(), [3, 4, 6, 3], both("resnet50", "0676ba61", "11ad3fa6"));
export const resnet101 = resnet("resnet101", bottleneck(), [3, 4, 23, 3], both("resnet101", "63fe2227", "cd907fc2"));
export const resnet152 = resnet("resnet152", bottleneck(), [3, 8, 36, 3], both("resnet152", "394f9c45", "f82ba261"));
export const resnext50_32x4d = resnet(
  "resnext50_32x4d",
  bottleneck(4, 32),
  [3, 4, 6, 3],
  both("resnext50_32x4d", "7cdf4587", "1a0047aa"),
);
export const resnext101_32x8d = resnet(
  "resnext101_32x8d",
  bottleneck(8, 32),
  [3, 4, 23, 3],
  both("resnext101_32x8d", "8ba56ff5", "110c445d"),
);
export const resnext101_64x4d = resnet("resnext101_64x4d", bottleneck(4, 64), [3, 4, 23, 3], {
  IMAGENET1K_V1: torchvision("resnext101_64x4d-173b62eb", "resnext101_64x4d.tv_in1k", V2),
});
export const wide_resnet50_2 = resnet(
  "wide_resnet50_2",
  bottleneck(128),
  [3, 4, 6, 3],
  both("wide_resnet50_2", "95faca4d", "9ba9bcbe"),
);
export const wide_resnet101_2 = resnet(
  "wide_resnet101_2",
  bottleneck(128),
  [3, 4, 23, 3],
  both("wide_resnet101_2", "32ee1156", "d733dc28"),
);
