import type { NetDefinition } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import type { Transforms } from "../engine/image/transforms.ts";
import { channelShuffle } from "../kernels/channel_shuffle.ts";
import { concat } from "../kernels/concat.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { slice } from "../kernels/slice.ts";
import { convNormLayer, sequence } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision, V2 } from "./imagenet.ts";
import { linearLayer, named } from "./layers.ts";

// N. Ma, X. Zhang, H. Zheng, J. Sun: "ShuffleNet V2: practical guidelines for efficient CNN architecture design", 2018, table 5.

/** Blocks of the three stages. */
const BLOCKS = [4, 8, 4];

const activation = relu;

/** Figure 3: half the channels pass by, or all go through both branches where the image gets smaller; then they are mixed. */
function block(name: string, x: Value, channels: number, stride: number): Value {
  const half = channels / 2;
  const one = sequence(`${name}.branch1`);
  const two = sequence(`${name}.branch2`);
  /** Each channel by a filter of its own. */
  const deep = (branch: typeof one, y: Value) =>
    branch.add(y, y.shape[1], 3, { stride, groups: y.shape[1], active: false });
  const smaller = () => named(`${name}.branch1`, one.add(deep(one, x), half, 1));
  const first = stride > 1 ? smaller() : slice(x, { dim: 1, start: 0, end: half });
  const rest = stride > 1 ? x : slice(x, { dim: 1, start: half });
  const second = named(`${name}.branch2`, two.add(deep(two, two.add(rest, half, 1)), half, 1));
  return named(name, channelShuffle(concat(first, second), { groups: 2 }));
}

function shufflenet(
  name: string,
  widths: readonly number[],
  last: number,
  file: string,
  transforms?: Transforms,
): NetDefinition {
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [224, 224],

    build(x, { numClasses }) {
      x = convNormLayer("conv1", x, 24, 3, { stride: 2, activation });
      x = named("maxpool", maxPool2d(x, { kernel: 3, stride: 2, padding: 1 }));
      for (const [i, blocks] of BLOCKS.entries()) {
        const stage = `stage${i + 2}`;
        for (let j = 0; j < blocks; j++) x = block(`${stage}.${j}`, x, widths[i], j === 0 ? 2 : 1);
        named(stage, x);
      }
      x = adaptiveAvgPool2d(convNormLayer("conv5", x, last, 1, { activation }), { outputSize: 1 });
      return linearLayer("fc", flatten(x), numClasses);
    },

    weights: { IMAGENET1K_V1: torchvision(file, undefined, transforms) },
  };
}

export const shufflenet_v2_x0_5 = shufflenet("shufflenet_v2_x0_5", [48, 96, 192], 1024, "shufflenetv2_x0.5-f707e7126e");
export const shufflenet_v2_x1_0 = shufflenet("shufflenet_v2_x1_0", [116, 232, 464], 1024, "shufflenetv2_x1-5666bf0f80");
export const shufflenet_v2_x1_5 = shufflenet(
  "shufflenet_v2_x1_5",
  [176, 352, 704],
  1024,
  "shufflenetv2_x1_5-3c479a10",
  V2,
);
export const shufflenet_v2_x2_0 = shufflenet(
  "shufflenet_v2_x2_0",
  [244, 488, 976],
  2048,
  "shufflenetv2_x2_0-8be3c8ee",
  V2,
);
