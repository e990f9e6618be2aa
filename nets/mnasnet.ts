import type { NetDefinition } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import type { Transforms } from "../engine/image/transforms.ts";
import { dropout } from "../kernels/dropout.ts";
import { add } from "../kernels/elementwise/add.ts";
import { mean } from "../kernels/mean.ts";
import { divisible, sequence } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision, V2 } from "./imagenet.ts";
import { linearLayer, named } from "./layers.ts";

// M. Tan et al.: "MnasNet: platform-aware neural architecture search for mobile", 2018, the variant B1: a stack's channels, the
// side of its filters, the stride of its first block, the factor that channels grow by inside, and how many blocks there are.
const STACKS = [
  { channels: 24, kernel: 3, stride: 2, factor: 3, blocks: 3 },
  { channels: 40, kernel: 5, stride: 2, factor: 3, blocks: 3 },
  { channels: 80, kernel: 5, stride: 2, factor: 6, blocks: 3 },
  { channels: 96, kernel: 3, stride: 1, factor: 6, blocks: 2 },
  { channels: 192, kernel: 5, stride: 2, factor: 6, blocks: 4 },
  { channels: 320, kernel: 3, stride: 1, factor: 6, blocks: 1 },
];

/** Of batch norms. */
const NORM = { momentum: 0.0003 };

function invertedResidual(
  name: string,
  x: Value,
  channels: number,
  kernel: number,
  stride: number,
  factor: number,
): Value {
  const layers = sequence(`${name}.layers`, NORM);
  const width = factor * x.shape[1];
  let y = layers.add(layers.add(x, width, 1), width, kernel, { stride, groups: width });
  y = named(`${name}.layers`, layers.add(y, channels, 1, { active: false }));
  return named(name, stride === 1 && x.shape[1] === channels ? add(y, x) : y);
}

function mnasnet(name: string, alpha: number, file: string, transforms?: Transforms): NetDefinition {
  const scaled = (channels: number) => divisible(alpha * channels);
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [224, 224],

    build(x, { numClasses }) {
      const layers = sequence("layers", NORM);
      x = layers.add(x, scaled(32), 3, { stride: 2 });
      x = layers.add(x, scaled(32), 3, { groups: scaled(32) });
      x = layers.add(x, scaled(16), 1, { active: false });
      for (const { channels, kernel, stride, factor, blocks } of STACKS) {
        const stack = `layers.${layers.next()}`;
        for (let i = 0; i < blocks; i++)
          x = invertedResidual(`${stack}.${i}`, x, scaled(channels), kernel, i === 0 ? stride : 1, factor);
        named(stack, x);
      }
      x = mean(named("layers", layers.add(x, 1280, 1)), { dims: [2, 3] });
      x = named("classifier.0", dropout(x, 0.2));
      return named("classifier", linearLayer("classifier.1", x, numClasses));
    },

    weights: { IMAGENET1K_V1: torchvision(file, undefined, transforms) },
  };
}

export const mnasnet0_5 = mnasnet("mnasnet0_5", 0.5, "mnasnet0.5_top1_67.823-3ffadce67e");
export const mnasnet0_75 = mnasnet("mnasnet0_75", 0.75, "mnasnet0_75-7090bc5f", V2);
export const mnasnet1_0 = mnasnet("mnasnet1_0", 1, "mnasnet1.0_top1_73.512-f206786ef8");
export const mnasnet1_3 = mnasnet("mnasnet1_3", 1.3, "mnasnet1_3-a4c69d6f", V2);
