import type { NetDefinition, PublishedWeights } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { add } from "../kernels/elementwise/add.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { convNormLayer, divisible, squeezeExcitation } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, swag, torchvision, V2 } from "./imagenet.ts";
import { linearLayer, named } from "./layers.ts";

// I. Radosavovic, R. Kosaraju, R. Girshick, K. He, P. Dollár: "Designing network design spaces", 2020. A net is a line: block j of
// `depth` has w0 + wa j channels, rounded to a power of wm times w0 and to a multiple of 8; a group of a convolution has `group`.
interface Line {
  readonly depth: number;
  readonly w0: number;
  readonly wa: number;
  readonly wm: number;
  readonly group: number;
}

interface Stage {
  readonly channels: number;
  readonly blocks: number;
  readonly group: number;
}

/** To the nearest integer, of two the even one, as PyTorch rounds. */
function round(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** Blocks of the same width are a stage, whose width is made a multiple of its groups'. */
function stagesOf({ depth, w0, wa, wm, group }: Line): Stage[] {
  const widths = Array.from({ length: depth }, (_, j) => {
    const power = round(Math.log((w0 + wa * j) / w0) / Math.log(wm));
    return 8 * round((w0 * wm ** power) / 8);
  });
  return [...new Set(widths)].map((width) => {
    const fitting = Math.min(group, width);
    return { channels: divisible(width, fitting), blocks: widths.filter((w) => w === width).length, group: fitting };
  });
}

const activation = relu;

/** A bottleneck as in ResNet, of one width, with grouped 3x3 filters, and with squeeze-and-excitation in RegNetY. */
function block(name: string, x: Value, { channels, group }: Stage, stride: number, se: boolean): Value {
  const shortcut =
    x.shape[1] === channels && stride === 1 ? x : convNormLayer(`${name}.proj`, x, channels, 1, { stride });
  let y = convNormLayer(`${name}.f.a`, x, channels, 1, { activation });
  y = convNormLayer(`${name}.f.b`, y, channels, 3, { stride, groups: channels / group, activation });
  if (se) y = squeezeExcitation(`${name}.f.se`, y, Math.round(x.shape[1] / 4));
  y = named(`${name}.f`, convNormLayer(`${name}.f.c`, y, channels, 1));
  return named(name, named(`${name}.activation`, relu(add(shortcut, y))));
}

function regnet(
  name: string,
  line: Line,
  weights: Readonly<Record<string, PublishedWeights>>,
  se = name.startsWith("regnet_y"),
): NetDefinition {
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [224, 224],

    build(x, { numClasses }) {
      x = convNormLayer("stem", x, 32, 3, { stride: 2, activation });
      for (const [i, stage] of stagesOf(line).entries()) {
        const at = `trunk_output.block${i + 1}`;
        for (let j = 0; j < stage.blocks; j++) x = block(`${at}.block${i + 1}-${j}`, x, stage, j === 0 ? 2 : 1, se);
        named(at, x);
      }
      x = named("avgpool", adaptiveAvgPool2d(named("trunk_output", x), { outputSize: 1 }));
      return linearLayer("fc", flatten(x), numClasses);
    },

    weights,
  };
}

/** Of the two recipes that all but the largest were trained by. */
const trained = (name: string, first: string, second: string) => ({
  IMAGENET1K_V1: torchvision(`${name}-${first}`),
  IMAGENET1K_V2: torchvision(`${name}-${second}`, undefined, V2),
});

const X = (
  size: string,
  depth: number,
  w0: number,
  wa: number,
  wm: number,
  group: number,
  first: string,
  second: string,
) => regnet(`regnet_x_${size}`, { depth, w0, wa, wm, group }, trained(`regnet_x_${size}`, first, second));

export const regnet_x_400mf = X("400mf", 22, 24, 24.48, 2.54, 16, "adf1edd5", "62229a5f");
export const regnet_x_800mf = X("800mf", 16, 56, 35.73, 2.28, 16, "ad17e45c", "94a99ebd");
export const regnet_x_1_6gf = X("1_6gf", 18, 80, 34.01, 2.25, 24, "e3633e7f", "a12f2b72");
export const regnet_x_3_2gf = X("3_2gf", 25, 88, 26.31, 2.25, 48, "f342aeae", "7071aa85");
export const regnet_x_8gf = X("8gf", 23, 80, 49.56, 2.88, 120, "03ceed89", "2b70d774");
export const regnet_x_16gf = X("16gf", 22, 216, 55.59, 2.1, 128, "2007eb11", "ba3796d7");
export const regnet_x_32gf = X("32gf", 23, 320, 69.86, 2, 168, "9d47f8d0", "6eb8fdc6");

const Y = (
  size: string,
  depth: number,
  w0: number,
  wa: number,
  wm: number,
  group: number,
  [first, second]: readonly string[],
  swagged: Readonly<Record<string, PublishedWeights>> = {},
) =>
  regnet(
    `regnet_y_${size}`,
    { depth, w0, wa, wm, group },
    { ...swagged, ...(first && trained(`regnet_y_${size}`, first, second)) },
  );

const SWAG_16 = swag("regnet_y_16gf", 384, "43afe44d", "f3ec0043");
const SWAG_32 = swag("regnet_y_32gf", 384, "04fdfa75", "e1583746");
const SWAG_128 = swag("regnet_y_128gf", 384, "c8ce3e52", "cbe8ce12");

export const regnet_y_400mf = Y("400mf", 16, 48, 27.89, 2.09, 8, ["c65dace8", "e6988f5f"]);
export const regnet_y_800mf = Y("800mf", 14, 56, 38.84, 2.4, 16, ["1b27b58c", "58fc7688"]);
export const regnet_y_1_6gf = Y("1_6gf", 27, 48, 20.71, 2.65, 24, ["b11a554e", "0d7bc02a"]);
export const regnet_y_3_2gf = Y("3_2gf", 21, 80, 42.63, 2.66, 24, ["b5a9779c", "9180c971"]);
export const regnet_y_8gf = Y("8gf", 17, 192, 76.82, 2.19, 56, ["d0d0e4a8", "dc2b1b54"]);
export const regnet_y_16gf = Y("16gf", 18, 200, 106.23, 2.48, 112, ["9e6ed7dd", "3e4a00f9"], SWAG_16);
export const regnet_y_32gf = Y("32gf", 20, 232, 115.89, 2.53, 232, ["4dee3f7a", "8db6d4b5"], SWAG_32);
export const regnet_y_128gf = Y("128gf", 27, 456, 160.83, 2.52, 264, [], SWAG_128);
