import type { NetDefinition, NetOptions, PublishedWeights } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { dropout } from "../kernels/dropout.ts";
import { add } from "../kernels/elementwise/add.ts";
import { hardSigmoid } from "../kernels/elementwise/hardsigmoid.ts";
import { hardSwish } from "../kernels/elementwise/hardswish.ts";
import { mul } from "../kernels/elementwise/mul.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { convNormLayer, divisible, squeezeExcitation } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, sized, torchvision, V2 } from "./imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "./layers.ts";

// A. Howard et al.: "Searching for MobileNetV3", 2019, tables 1 and 2.

/** A block: the side of its filters, its channels inside and outside, squeeze-and-excitation, activation, and stride. */
type Row = readonly [
  kernel: number,
  width: number,
  channels: number,
  se: boolean,
  activation: "RE" | "HS",
  stride: number,
];

const ACTIVATIONS = { RE: relu, HS: hardSwish };

const LARGE: readonly Row[] = [
  [3, 16, 16, false, "RE", 1],
  [3, 64, 24, false, "RE", 2],
  [3, 72, 24, false, "RE", 1],
  [5, 72, 40, true, "RE", 2],
  [5, 120, 40, true, "RE", 1],
  [5, 120, 40, true, "RE", 1],
  [3, 240, 80, false, "HS", 2],
  [3, 200, 80, false, "HS", 1],
  [3, 184, 80, false, "HS", 1],
  [3, 184, 80, false, "HS", 1],
  [3, 480, 112, true, "HS", 1],
  [3, 672, 112, true, "HS", 1],
  [5, 672, 160, true, "HS", 2],
  [5, 960, 160, true, "HS", 1],
  [5, 960, 160, true, "HS", 1],
];

const SMALL: readonly Row[] = [
  [3, 16, 16, true, "RE", 2],
  [3, 72, 24, false, "RE", 2],
  [3, 88, 24, false, "RE", 1],
  [5, 96, 40, true, "HS", 2],
  [5, 240, 40, true, "HS", 1],
  [5, 240, 40, true, "HS", 1],
  [5, 120, 48, true, "HS", 1],
  [5, 144, 48, true, "HS", 1],
  [5, 288, 96, true, "HS", 2],
  [5, 576, 96, true, "HS", 1],
  [5, 576, 96, true, "HS", 1],
];

export interface MobileNetV3Options extends NetOptions {
  /** Multiplies all channels. */
  readonly widthMult: number;
}

/** Of batch norms. */
const NORM = { eps: 0.001, momentum: 0.01 };

/** A block under torchvision's names. */
function invertedResidual(name: string, x: Value, [kernel, width, channels, se, act, stride]: Row): Value {
  const activation = ACTIVATIONS[act];
  let i = 0;
  const next = () => `${name}.block.${i++}`;
  let y = width === x.shape[1] ? x : convNormLayer(next(), x, width, 1, { activation, ...NORM });
  y = convNormLayer(next(), y, width, kernel, { stride, groups: width, activation, ...NORM });
  if (se) y = squeezeExcitation(next(), y, divisible(width / 4), relu, hardSigmoid);
  y = named(`${name}.block`, convNormLayer(next(), y, channels, 1, NORM));
  return named(name, stride === 1 && x.shape[1] === channels ? add(x, y) : y);
}

function mobilenetV3(
  name: string,
  rows: readonly Row[],
  hidden: number,
  weights: Readonly<Record<string, PublishedWeights>>,
): NetDefinition<MobileNetV3Options> {
  return {
    ...imagenet,
    name,
    options: { ...IMAGENET_OPTIONS, widthMult: 1 },
    imageSize: [224, 224],

    build(x, { numClasses, widthMult }) {
      const scaled = (channels: number) => divisible(channels * widthMult);
      let i = 0;
      const next = () => `features.${i++}`;
      x = convNormLayer(next(), x, scaled(16), 3, { stride: 2, activation: hardSwish, ...NORM });
      for (const [kernel, width, channels, ...more] of rows)
        x = invertedResidual(next(), x, [kernel, scaled(width), scaled(channels), ...more]);
      x = convNormLayer(next(), x, 6 * x.shape[1], 1, { activation: hardSwish, ...NORM });
      x = named("avgpool", adaptiveAvgPool2d(named("features", x), { outputSize: 1 }));
      x = named("classifier.1", hardSwish(linearLayer("classifier.0", flatten(x), scaled(hidden))));
      return named("classifier", linearLayer("classifier.3", named("classifier.2", dropout(x, 0.2)), numClasses));
    },

    weights,
  };
}

export const mobilenet_v3_large = mobilenetV3("mobilenet_v3_large", LARGE, 1280, {
  IMAGENET1K_V1: torchvision("mobilenet_v3_large-8738ca79"),
  IMAGENET1K_V2: torchvision("mobilenet_v3_large-5c1a4163", undefined, V2),
});
export const mobilenet_v3_small = mobilenetV3("mobilenet_v3_small", SMALL, 1024, {
  IMAGENET1K_V1: torchvision("mobilenet_v3_small-047dcff4"),
});

/** A batch norm and its activation, which are one layer in timm, and the parts of it have names there, too. */
function normActLayer(name: string, x: Value, activation: (x: Value) => Value = (y) => y): Value {
  const y = batchNormLayer(name, x, {}, `${name}.drop`);
  return named(name, named(`${name}.act`, activation(y)));
}

/** A block under timm's names. */
function timmBlock(name: string, x: Value, [kernel, width, channels, se, act, stride]: Row): Value {
  let i = 0;
  const norm = (y: Value, activation?: (y: Value) => Value) => normActLayer(`${name}.bn${++i}`, y, activation);
  const activation = ACTIVATIONS[act];
  const isWider = width !== x.shape[1];
  let y = isWider ? norm(convLayer(`${name}.conv_pw`, x, width, 1, { bias: false }), activation) : x;
  const deep = { stride, padding: (kernel - 1) / 2, groups: width, bias: false };
  y = norm(convLayer(`${name}.conv_dw`, y, width, kernel, deep), activation);
  if (se) {
    let weight = named(`${name}.se.mean`, adaptiveAvgPool2d(y, { outputSize: 1 }));
    weight = named(`${name}.se.act1`, relu(convLayer(`${name}.se.conv_reduce`, weight, divisible(width / 4), 1)));
    weight = named(`${name}.se.gate`, hardSigmoid(convLayer(`${name}.se.conv_expand`, weight, width, 1)));
    y = named(`${name}.se`, mul(y, weight));
  }
  y = norm(convLayer(isWider ? `${name}.conv_pwl` : `${name}.conv_pw`, y, channels, 1, { bias: false }));
  return named(name, stride === 1 && x.shape[1] === channels ? add(x, y) : y);
}

/** The same net as timm has it: other names, an epsilon of 1e-5, and a convolution in place of the first linear layer. */
function timm(name: string, rows: readonly Row[], hidden: number, recipe: string): NetDefinition {
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [224, 224],

    build(x, { numClasses }) {
      x = normActLayer("bn1", convLayer("conv_stem", x, 16, 3, { stride: 2, padding: 1, bias: false }), hardSwish);
      let stage = 0;
      let block = 0;
      for (const [i, row] of rows.entries()) {
        x = timmBlock(`blocks.${stage}.${block++}`, x, row);
        // A stage is what has the same channels.
        if (row[2] === rows[i + 1]?.[2]) continue;
        named(`blocks.${stage++}`, x);
        block = 0;
      }
      const last = `blocks.${stage}.0`;
      x = convLayer(`${last}.conv`, x, 6 * x.shape[1], 1, { bias: false });
      x = named(`blocks.${stage}`, named(last, normActLayer(`${last}.bn1`, x, hardSwish)));
      x = named("global_pool.pool", adaptiveAvgPool2d(named("blocks", x), { outputSize: 1 }));
      named("global_pool", x);
      x = named("flatten", flatten(named("act2", hardSwish(convLayer("conv_head", x, hidden, 1)))));
      return linearLayer("classifier", x, numClasses);
    },

    weights: {
      [recipe]: {
        url: `https://huggingface.co/timm/${name}.${recipe}/resolve/main/model.safetensors`,
        transforms: sized(256, 224, "bicubic"),
      },
    },
  };
}

export const mobilenetv3_large_100 = timm("mobilenetv3_large_100", LARGE, 1280, "ra_in1k");
export const mobilenetv3_small_100 = timm("mobilenetv3_small_100", SMALL, 1024, "lamb_in1k");
