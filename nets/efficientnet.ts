import type { NetDefinition, PublishedWeights } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { dropout } from "../kernels/dropout.ts";
import { add } from "../kernels/elementwise/add.ts";
import { silu } from "../kernels/elementwise/silu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { convNormLayer, divisible, squeezeExcitation } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, sized, torchvision } from "./imagenet.ts";
import { linearLayer, named } from "./layers.ts";

// M. Tan, Q. Le: "EfficientNet: rethinking model scaling for convolutional neural networks", 2019, table 1, and
// "EfficientNetV2: smaller models and faster training", 2021, table 4.

/** A stage: whether expansion and filters are fused, the factor, the side of filters, first stride, channels, and blocks. */
type Row = readonly [fused: boolean, factor: number, kernel: number, stride: number, channels: number, blocks: number];

/** Of batch norms. */
type Norm = { readonly eps: number; readonly momentum?: number };

interface Architecture {
  readonly stem: number;
  readonly stages: readonly Row[];
  /** Channels of the last convolution; four times those before it if left out. */
  readonly last?: number;
  readonly norm?: Norm;
  /** How probably the last dropout drops. */
  readonly p: number;
}

const MB = false;
const FUSED = true;

const B0: readonly Row[] = [
  [MB, 1, 3, 1, 16, 1],
  [MB, 6, 3, 2, 24, 2],
  [MB, 6, 5, 2, 40, 2],
  [MB, 6, 3, 2, 80, 3],
  [MB, 6, 5, 1, 112, 3],
  [MB, 6, 5, 2, 192, 4],
  [MB, 6, 3, 1, 320, 1],
];

/** B0 with more channels and more blocks. */
const scaled = (width: number, depth: number, p: number, norm?: Norm): Architecture => ({
  stem: divisible(32 * width),
  stages: B0.map(([fused, factor, kernel, stride, channels, blocks]) => [
    fused,
    factor,
    kernel,
    stride,
    divisible(channels * width),
    Math.ceil(blocks * depth),
  ]),
  norm,
  p,
});

const V2_S: readonly Row[] = [
  [FUSED, 1, 3, 1, 24, 2],
  [FUSED, 4, 3, 2, 48, 4],
  [FUSED, 4, 3, 2, 64, 4],
  [MB, 4, 3, 2, 128, 6],
  [MB, 6, 3, 1, 160, 9],
  [MB, 6, 3, 2, 256, 15],
];
const V2_M: readonly Row[] = [
  [FUSED, 1, 3, 1, 24, 3],
  [FUSED, 4, 3, 2, 48, 5],
  [FUSED, 4, 3, 2, 80, 5],
  [MB, 4, 3, 2, 160, 7],
  [MB, 6, 3, 1, 176, 14],
  [MB, 6, 3, 2, 304, 18],
  [MB, 6, 3, 1, 512, 5],
];
const V2_L: readonly Row[] = [
  [FUSED, 1, 3, 1, 32, 4],
  [FUSED, 4, 3, 2, 64, 7],
  [FUSED, 4, 3, 2, 96, 7],
  [MB, 4, 3, 2, 192, 10],
  [MB, 6, 3, 1, 224, 19],
  [MB, 6, 3, 2, 384, 25],
  [MB, 6, 3, 1, 640, 7],
];

const eps = 0.001;
const SLOW = { eps, momentum: 0.01 };

const v2 = (stages: readonly Row[], p: number): Architecture => ({
  stem: stages[0][4],
  stages,
  last: 1280,
  norm: { eps },
  p,
});

const activation = silu;

/** An inverted residual, with squeeze-and-excitation, or with its first two convolutions as one. */
function block(name: string, x: Value, [fused, factor, kernel, stride, channels]: Row, norm?: Norm): Value {
  const input = x.shape[1];
  const width = divisible(factor * input);
  let i = 0;
  const next = () => `${name}.block.${i++}`;
  let y = x;
  if (fused) {
    if (width === input) y = convNormLayer(next(), y, channels, kernel, { stride, activation, ...norm });
    else {
      y = convNormLayer(next(), y, width, kernel, { stride, activation, ...norm });
      y = convNormLayer(next(), y, channels, 1, norm);
    }
  } else {
    if (width !== input) y = convNormLayer(next(), y, width, 1, { activation, ...norm });
    y = convNormLayer(next(), y, width, kernel, { stride, groups: width, activation, ...norm });
    y = squeezeExcitation(next(), y, Math.max(1, Math.floor(input / 4)), activation);
    y = convNormLayer(next(), y, channels, 1, norm);
  }
  named(`${name}.block`, y);
  return named(name, stride === 1 && input === channels ? add(named(`${name}.stochastic_depth`, y), x) : y);
}

function efficientnet(
  name: string,
  { stem, stages, last, norm, p }: Architecture,
  side: number,
  weights: Readonly<Record<string, PublishedWeights>>,
): NetDefinition {
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [side, side],

    build(x, { numClasses }) {
      x = convNormLayer("features.0", x, stem, 3, { stride: 2, activation, ...norm });
      for (const [i, [fused, factor, kernel, stride, channels, blocks]] of stages.entries()) {
        const stage = `features.${i + 1}`;
        for (let j = 0; j < blocks; j++)
          x = block(`${stage}.${j}`, x, [fused, factor, kernel, j === 0 ? stride : 1, channels, blocks], norm);
        named(stage, x);
      }
      x = convNormLayer(`features.${stages.length + 1}`, x, last ?? 4 * x.shape[1], 1, { activation, ...norm });
      x = named("avgpool", adaptiveAvgPool2d(named("features", x), { outputSize: 1 }));
      x = named("classifier.0", dropout(flatten(x), p));
      return named("classifier", linearLayer("classifier.1", x, numClasses));
    },

    weights,
  };
}

const weightsOf = (file: string, resize: number, crop: number, interpolation?: "bicubic") => ({
  IMAGENET1K_V1: torchvision(file, undefined, sized(resize, crop, interpolation)),
});

/** A net of the first paper: more channels, more blocks and larger images than B0. */
const B = (
  index: number,
  architecture: Architecture,
  resize: number,
  side: number,
  file: string,
  more: Readonly<Record<string, PublishedWeights>> = {},
) => {
  const name = `efficientnet_b${index}`;
  return efficientnet(name, architecture, side, { ...weightsOf(`${name}_${file}`, resize, side, "bicubic"), ...more });
};

export const efficientnet_b0 = B(0, scaled(1, 1, 0.2), 256, 224, "rwightman-7f5810bc");
export const efficientnet_b1 = B(1, scaled(1, 1.1, 0.2), 256, 240, "rwightman-bac287d4", {
  IMAGENET1K_V2: torchvision("efficientnet_b1-c27df63c", undefined, sized(255, 240)),
});
export const efficientnet_b2 = B(2, scaled(1.1, 1.2, 0.3), 288, 288, "rwightman-c35c1473");
export const efficientnet_b3 = B(3, scaled(1.2, 1.4, 0.3), 320, 300, "rwightman-b3899882");
export const efficientnet_b4 = B(4, scaled(1.4, 1.8, 0.4), 384, 380, "rwightman-23ab8bcd");
export const efficientnet_b5 = B(5, scaled(1.6, 2.2, 0.4, SLOW), 456, 456, "lukemelas-1a07897c");
export const efficientnet_b6 = B(6, scaled(1.8, 2.6, 0.5, SLOW), 528, 528, "lukemelas-24a108a5");
export const efficientnet_b7 = B(7, scaled(2, 3.1, 0.5, SLOW), 600, 600, "lukemelas-c5b4e57e");

export const efficientnet_v2_s = efficientnet(
  "efficientnet_v2_s",
  v2(V2_S, 0.2),
  384,
  weightsOf("efficientnet_v2_s-dd5fe13b", 384, 384),
);
export const efficientnet_v2_m = efficientnet(
  "efficientnet_v2_m",
  v2(V2_M, 0.3),
  480,
  weightsOf("efficientnet_v2_m-dc08266a", 480, 480),
);
export const efficientnet_v2_l = efficientnet("efficientnet_v2_l", v2(V2_L, 0.4), 480, {
  IMAGENET1K_V1: torchvision("efficientnet_v2_l-59c71312", undefined, {
    ...sized(480, 480, "bicubic"),
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  }),
});
