import type { AnyVariant } from "../../engine/graph/variant.ts";
import { sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { onVectors } from "../vectors.ts";

/** A kernel that treats every element alike takes tensors of one shape as rows of vec4s, whatever their dimensions are. */
export const flat: AnyVariant = {
  name: "flat",
  refuses: ({ y }, _setting, inputs) =>
    sizeOf(y) % 4 === 0 && Object.values(inputs).every(({ shape }) => sameShape(shape, y))
      ? undefined
      : "its tensors are no vec4s of one shape",
  build(inputs, { options, y }, _setting, plain) {
    const { graph } = Object.values(inputs)[0];
    const rows = Object.values(inputs).map((value) => graph.reshape(value, [sizeOf(y)]));
    return graph.reshape(onVectors(plain, ...rows)(options), y);
  },
};
