import type { NetDefinition } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { concat } from "../kernels/concat.ts";
import { dropout } from "../kernels/dropout.ts";
import { flatten } from "../kernels/flatten.ts";
import type { Pair } from "../kernels/options.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { avgPool2d } from "../kernels/pool2d/avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { basicConv } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, sized, torchvision } from "./imagenet.ts";
import { type InceptionOptions, transformed } from "./inception_input.ts";
import { linearLayer, named } from "./layers.ts";

// C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna: "Rethinking the Inception architecture for computer vision", 2015,
// table 1 and figures 5 to 7, 10.

/** A convolution of a branch: its name, filters, their [height, width], and a stride of 2, which is not padded. */
type Step = readonly [name: string, filters: number, kernel: Pair, stride?: number];

function branch(module: string, x: Value, ...steps: readonly Step[]): Value {
  for (const [name, filters, kernel, stride = 1] of steps) {
    const [height, width] = typeof kernel === "number" ? [kernel, kernel] : kernel;
    const padding: Pair = stride > 1 ? 0 : [(height - 1) / 2, (width - 1) / 2];
    x = basicConv(`${module}.${name}`, x, filters, kernel, { stride, padding });
  }
  return x;
}

const ACROSS: Pair = [1, 7];
const DOWN: Pair = [7, 1];

const mean = (x: Value) => avgPool2d(x, { kernel: 3, stride: 1, padding: 1 });
const maximum = (x: Value) => maxPool2d(x, { kernel: 3, stride: 2 });

/** Figure 5: two 3x3 filters in place of 5x5 ones. */
const small = (name: string, x: Value, pooled: number) =>
  concat(
    branch(name, x, ["branch1x1", 64, 1]),
    branch(name, x, ["branch5x5_1", 48, 1], ["branch5x5_2", 64, 5]),
    branch(name, x, ["branch3x3dbl_1", 64, 1], ["branch3x3dbl_2", 96, 3], ["branch3x3dbl_3", 96, 3]),
    branch(name, mean(x), ["branch_pool", pooled, 1]),
  );

/** Figure 10: half the sides, without a bottleneck. */
const reduceSmall = (name: string, x: Value) =>
  concat(
    branch(name, x, ["branch3x3", 384, 3, 2]),
    branch(name, x, ["branch3x3dbl_1", 64, 1], ["branch3x3dbl_2", 96, 3], ["branch3x3dbl_3", 96, 3, 2]),
    maximum(x),
  );

/** Figure 6: 7x7 filters as 1x7 and 7x1. */
const medium = (name: string, x: Value, width: number) =>
  concat(
    branch(name, x, ["branch1x1", 192, 1]),
    branch(name, x, ["branch7x7_1", width, 1], ["branch7x7_2", width, ACROSS], ["branch7x7_3", 192, DOWN]),
    branch(
      name,
      x,
      ["branch7x7dbl_1", width, 1],
      ["branch7x7dbl_2", width, DOWN],
      ["branch7x7dbl_3", width, ACROSS],
      ["branch7x7dbl_4", width, DOWN],
      ["branch7x7dbl_5", 192, ACROSS],
    ),
    branch(name, mean(x), ["branch_pool", 192, 1]),
  );

const reduceMedium = (name: string, x: Value) =>
  concat(
    branch(name, x, ["branch3x3_1", 192, 1], ["branch3x3_2", 320, 3, 2]),
    branch(
      name,
      x,
      ["branch7x7x3_1", 192, 1],
      ["branch7x7x3_2", 192, ACROSS],
      ["branch7x7x3_3", 192, DOWN],
      ["branch7x7x3_4", 192, 3, 2],
    ),
    maximum(x),
  );

/** Figure 7: 3x3 filters as 1x3 and 3x1, side by side. */
function large(name: string, x: Value): Value {
  const split = (first: string, y: Value) =>
    concat(branch(name, y, [`${first}a`, 384, [1, 3]]), branch(name, y, [`${first}b`, 384, [3, 1]]));
  return concat(
    branch(name, x, ["branch1x1", 320, 1]),
    split("branch3x3_2", branch(name, x, ["branch3x3_1", 384, 1])),
    split("branch3x3dbl_3", branch(name, x, ["branch3x3dbl_1", 448, 1], ["branch3x3dbl_2", 384, 3])),
    branch(name, mean(x), ["branch_pool", 192, 1]),
  );
}

const MODULES: Readonly<Record<string, (name: string, x: Value) => Value>> = {
  Mixed_5b: (name, x) => small(name, x, 32),
  Mixed_5c: (name, x) => small(name, x, 64),
  Mixed_5d: (name, x) => small(name, x, 64),
  Mixed_6a: reduceSmall,
  Mixed_6b: (name, x) => medium(name, x, 128),
  Mixed_6c: (name, x) => medium(name, x, 160),
  Mixed_6d: (name, x) => medium(name, x, 160),
  Mixed_6e: (name, x) => medium(name, x, 192),
  Mixed_7a: reduceMedium,
  Mixed_7b: large,
  Mixed_7c: large,
};

export const inception_v3: NetDefinition<InceptionOptions> = {
  ...imagenet,
  name: "inception_v3",
  options: { ...IMAGENET_OPTIONS, transformInput: false },
  imageSize: [299, 299],

  build(x, { numClasses, transformInput }) {
    if (transformInput) x = transformed(x);
    x = basicConv("Conv2d_1a_3x3", x, 32, 3, { stride: 2 });
    x = basicConv("Conv2d_2a_3x3", x, 32, 3);
    x = named("maxpool1", maximum(basicConv("Conv2d_2b_3x3", x, 64, 3, { padding: 1 })));
    x = basicConv("Conv2d_3b_1x1", x, 80, 1);
    x = named("maxpool2", maximum(basicConv("Conv2d_4a_3x3", x, 192, 3)));
    for (const [name, module] of Object.entries(MODULES)) x = named(name, module(name, x));
    x = named("avgpool", adaptiveAvgPool2d(x, { outputSize: 1 }));
    return linearLayer("fc", flatten(named("dropout", dropout(x))), numClasses);
  },

  weights: {
    IMAGENET1K_V1: {
      ...torchvision("inception_v3_google-0cc3c7bd", undefined, sized(342, 299)),
      options: { transformInput: true },
    },
  },
  // The head that training looks at.
  rename: (given) => (given.startsWith("AuxLogits.") ? undefined : given),
};
