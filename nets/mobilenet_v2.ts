import type { NetDefinition, NetOptions } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { dropout } from "../kernels/dropout.ts";
import { add } from "../kernels/elementwise/add.ts";
import { relu6 } from "../kernels/elementwise/clamp.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { convNormLayer, divisible } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision, V2 } from "./imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "./layers.ts";

// M. Sandler et al.: "MobileNetV2: inverted residuals and linear bottlenecks", 2018, table 2: the factor t that a block's channels
// grow by inside, its channels c, how many n of them there are, and the stride s of the first.
const BLOCKS = [
  { t: 1, c: 16, n: 1, s: 1 },
  { t: 6, c: 24, n: 2, s: 2 },
  { t: 6, c: 32, n: 3, s: 2 },
  { t: 6, c: 64, n: 4, s: 2 },
  { t: 6, c: 96, n: 3, s: 1 },
  { t: 6, c: 160, n: 3, s: 2 },
  { t: 6, c: 320, n: 1, s: 1 },
];

const activation = relu6;

/** Wide between narrow ends, around which a shortcut leads where it can. */
function invertedResidual(name: string, x: Value, factor: number, outChannels: number, stride: number): Value {
  const width = factor * x.shape[1];
  let i = 0;
  const next = () => `${name}.conv.${i++}`;
  let y = factor === 1 ? x : convNormLayer(next(), x, width, 1, { activation });
  y = convNormLayer(next(), y, width, 3, { stride, groups: width, activation });
  y = convLayer(next(), y, outChannels, 1, { bias: false });
  y = named(`${name}.conv`, batchNormLayer(next(), y));
  return named(name, stride === 1 && x.shape[1] === outChannels ? add(x, y) : y);
}

export interface MobileNetV2Options extends NetOptions {
  /** Multiplies all channels. */
  readonly widthMult: number;
}

export const mobilenet_v2: NetDefinition<MobileNetV2Options> = {
  ...imagenet,
  name: "mobilenet_v2",
  options: { ...IMAGENET_OPTIONS, widthMult: 1 },
  imageSize: [224, 224],

  build(x, { numClasses, widthMult }) {
    let i = 0;
    const next = () => `features.${i++}`;
    x = convNormLayer(next(), x, divisible(32 * widthMult), 3, { stride: 2, activation });
    for (const { t, c, n, s } of BLOCKS)
      for (let j = 0; j < n; j++) x = invertedResidual(next(), x, t, divisible(c * widthMult), j === 0 ? s : 1);
    x = convNormLayer(next(), x, divisible(1280 * Math.max(1, widthMult)), 1, { activation });
    x = flatten(adaptiveAvgPool2d(named("features", x), { outputSize: 1 }));
    x = named("classifier.0", dropout(x, 0.2));
    return named("classifier", linearLayer("classifier.1", x, numClasses));
  },

  weights: {
    IMAGENET1K_V1: torchvision("mobilenet_v2-b0353104"),
    IMAGENET1K_V2: torchvision("mobilenet_v2-7ebf99e0", undefined, V2),
  },
};
