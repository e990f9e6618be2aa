import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { type Call, defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { check, ShapeError, show } from "../../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape, sizeOf } from "../../engine/ground/tensor.ts";
import { wgsl } from "./layernorm.wgsl.ts";

const WORKGROUP = 64;

export interface LayerNormOptions {
  readonly normalizedShape: Shape | null;
  readonly eps: number;
}

/**
 * Layer normalization of x [..., ...S], weight and bias [...S] -> y of x's shape. S is `normalizedShape`; if that is null, the
 * shape of the weight or bias, and without these the last dimension. Over the channels of images it stands between two
 * permutes, which cost nothing where images are NHWC in memory.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.nn.functional.layer_norm.html.
 */
export const layerNorm = defineKernel({
  name: "layernorm",
  inputs: ["x", "weight?", "bias?"],
  options: { normalizedShape: null, eps: 1e-5 } as LayerNormOptions,
  wgsl,

  shape({ x, weight, bias }, options) {
    const wanted = normalizedShape({ x, weight, bias }, options);
    if (!Array.isArray(wanted) || wanted.length === 0 || !sameShape(wanted, x.slice(-wanted.length))) {
      throw new ShapeError(
        `layernorm: the normalized shape is ${show(wanted)}; it must be the last dimensions of x ${formatShape(x)}`,
      );
    }
    for (const [name, shape] of Object.entries({ weight, bias })) {
      if (shape && !sameShape(shape, wanted)) {
        throw new ShapeError(`layernorm: ${name} is ${formatShape(shape)}; it must be ${formatShape(wanted)}`);
      }
    }
    const { eps } = options;
    check(Number.isFinite(eps) && eps >= 0, "layernorm: eps", eps, "0 or more");
    return x;
  },

  cost: ({ y }) => ({ flops: 8 * sizeOf(y) }),
  consts: ({ shapes }) => ({
    WORKGROUP,
    LANES: 1,
    WEIGHT: shapes.weight !== undefined,
    BIAS: shapes.bias !== undefined,
  }),
  params: (call) => ({ ...rowsOf(call), eps: call.options.eps }),
  grid: (call) => linearGrid(rowsOf(call).rows, WORKGROUP),
});

export const reference: ReferenceOf<typeof layerNorm> = {
  example: { shapes: { x: [3, 4, 20], weight: [20], bias: [20] } },

  compute({ x, weight, bias }, call) {
    const { size } = rowsOf(call);
    const y = new Float64Array(x.length);
    for (let first = 0; first < x.length; first += size) {
      const row = Float64Array.from(x.subarray(first, first + size));
      const mean = row.reduce((sum, v) => sum + v, 0) / size;
      const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / size;
      row.forEach((v, i) => {
        const normal = (v - mean) / Math.sqrt(variance + call.options.eps);
        y[first + i] = normal * (weight ? weight[i] : 1) + (bias ? bias[i] : 0);
      });
    }
    return y;
  },
};

type LayerNormCall = Call<"x" | "weight?" | "bias?", LayerNormOptions>;

/** The dimensions over which it normalizes, which are x's last ones. */
export const normalizedShape = (
  { x, weight, bias }: LayerNormCall["shapes"],
  options: LayerNormCall["options"],
): Shape => options.normalizedShape ?? weight ?? bias ?? x.slice(-1);

/** x seen as [rows, size], a row being what is normalized together. */
export function rowsOf({ shapes, options }: LayerNormCall) {
  const size = sizeOf(normalizedShape(shapes, options));
  return { rows: sizeOf(shapes.x) / size, size };
}
