import type { NetDefinition } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { concat } from "../kernels/concat.ts";
import { dropout } from "../kernels/dropout.ts";
import { flatten } from "../kernels/flatten.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { basicConv } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision } from "./imagenet.ts";
import { type InceptionOptions, transformed } from "./inception_input.ts";
import { linearLayer, named } from "./layers.ts";

// C. Szegedy et al.: "Going deeper with convolutions", 2014, table 1, with batch norms, and 3x3 filters where the paper has
// 5x5: torchvision's weights were trained so.

/** Filters of a module: 1x1, 3x3 and what it sees, 5x5 and what it sees, those behind the pooling. */
type Widths = readonly [one: number, reduce3: number, three: number, reduce5: number, five: number, pooled: number];

function inception(name: string, x: Value, [one, reduce3, three, reduce5, five, pooled]: Widths): Value {
  const deep = (branch: string, reduced: number, filters: number) =>
    named(branch, basicConv(`${branch}.1`, basicConv(`${branch}.0`, x, reduced, 1), filters, 3, { padding: 1 }));
  // Last, so that it is in memory only while it is needed.
  const pool = () => named(`${name}.branch4.0`, maxPool2d(x, { kernel: 3, stride: 1, padding: 1, ceilMode: true }));
  return named(
    name,
    concat(
      basicConv(`${name}.branch1`, x, one, 1),
      deep(`${name}.branch2`, reduce3, three),
      deep(`${name}.branch3`, reduce5, five),
      named(`${name}.branch4`, basicConv(`${name}.branch4.1`, pool(), pooled, 1)),
    ),
  );
}

/** The modules by their names, and the sides of the maxima between them. */
const LAYERS: Readonly<Record<string, Widths | number>> = {
  inception3a: [64, 96, 128, 16, 32, 32],
  inception3b: [128, 128, 192, 32, 96, 64],
  maxpool3: 3,
  inception4a: [192, 96, 208, 16, 48, 64],
  inception4b: [160, 112, 224, 24, 64, 64],
  inception4c: [128, 128, 256, 24, 64, 64],
  inception4d: [112, 144, 288, 32, 64, 64],
  inception4e: [256, 160, 320, 32, 128, 128],
  maxpool4: 2,
  inception5a: [256, 160, 320, 32, 128, 128],
  inception5b: [384, 192, 384, 48, 128, 128],
};

const maximum = (name: string, x: Value, kernel: number) =>
  named(name, maxPool2d(x, { kernel, stride: 2, ceilMode: true }));

export const googlenet: NetDefinition<InceptionOptions> = {
  ...imagenet,
  name: "googlenet",
  options: { ...IMAGENET_OPTIONS, transformInput: false },
  imageSize: [224, 224],

  build(x, { numClasses, transformInput }) {
    if (transformInput) x = transformed(x);
    x = maximum("maxpool1", basicConv("conv1", x, 64, 7, { stride: 2, padding: 3 }), 3);
    x = basicConv("conv3", basicConv("conv2", x, 64, 1), 192, 3, { padding: 1 });
    x = maximum("maxpool2", x, 3);
    for (const [name, layer] of Object.entries(LAYERS))
      x = typeof layer === "number" ? maximum(name, x, layer) : inception(name, x, layer);
    x = flatten(named("avgpool", adaptiveAvgPool2d(x, { outputSize: 1 })));
    return linearLayer("fc", named("dropout", dropout(x, 0.2)), numClasses);
  },

  weights: { IMAGENET1K_V1: { ...torchvision("googlenet-1378be20"), options: { transformInput: true } } },
  // The heads that training looks at.
  rename: (given) => (/^aux[12]\./.test(given) ? undefined : given),
};
