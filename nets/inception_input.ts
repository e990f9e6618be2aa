import type { NetOptions } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { IMAGENET } from "../engine/image/transforms.ts";
import { add } from "../kernels/elementwise/add.ts";
import { mul } from "../kernels/elementwise/mul.ts";

export interface InceptionOptions extends NetOptions {
  /**
   * Whether the input, normalized as that of all nets, is turned into what Google's weights were trained on, with a mean and a
   * deviation of 0.5: by default with torchvision's weights by name. A file of them wants it, too.
   */
  readonly transformInput: boolean;
}

/** The input as Google's weights want it. */
export function transformed(x: Value): Value {
  const constant = (name: string, compute: (mean: number, std: number) => number) =>
    x.graph.param(`transform_input.${name}`, [3, 1, 1], {
      sources: [],
      compute: () => Float32Array.from(IMAGENET.mean, (mean, c) => compute(mean, IMAGENET.std[c])),
    });
  const scaled = mul(
    x,
    constant("scale", (_, std) => std / 0.5),
  );
  return add(
    scaled,
    constant("offset", (mean) => (mean - 0.5) / 0.5),
  );
}
