import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import type { GradientOf } from "../../engine/graph/gradients.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { mul } from "../elementwise/mul.ts";
import { checkShapes } from "../shapes.ts";
import { sumTo } from "../sum.ts";
import { layerNorm, normalizedShape, rowsOf } from "./layernorm.ts";
import { wgsl } from "./layernorm_gradient.wgsl.ts";

const WORKGROUP = 64;

/** The gradient of a layer normalization by x: dy and x [..., ...S], weight [...S] -> y of x's shape. S as in `layerNorm`. */
export const layerNormGradient = defineKernel({
  name: "layernorm_gradient",
  inputs: ["dy", "x", "weight?"],
  options: layerNorm.options,
  wgsl,

  shape({ dy, x, weight }, options) {
    checkShapes("layernorm_gradient", { dy }, { dy: x });
    return layerNorm.shape({ x, weight }, options);
  },

  cost: ({ y }) => ({ flops: 16 * sizeOf(y) }),
  consts: ({ shapes: { weight } }) => ({ WORKGROUP, WEIGHT: weight !== undefined }),
  params: (call) => ({ ...rowsOf(call), eps: call.options.eps }),
  // A workgroup per row.
  grid: (call) => linearGrid(rowsOf(call).rows, 1),
});

export const reference: ReferenceOf<typeof layerNormGradient> = {
  example: { shapes: { dy: [3, 4, 20], x: [3, 4, 20], weight: [20] } },

  compute({ dy, x, weight }, call) {
    const { size } = rowsOf(call);
    const y = new Float64Array(x.length);
    const mean = (values: Float64Array) => values.reduce((sum, v) => sum + v, 0) / size;
    for (let first = 0; first < x.length; first += size) {
      const row = Float64Array.from(x.subarray(first, first + size));
      const center = mean(row);
      const deviation = Math.sqrt(mean(row.map((v) => (v - center) ** 2)) + call.options.eps);
      const normal = row.map((v) => (v - center) / deviation);
      const g = row.map((_, i) => dy[first + i] * (weight ? weight[i] : 1));
      const [even, along] = [mean(g), mean(g.map((v, i) => v * normal[i]))];
      y.set(
        g.map((v, i) => (v - even - normal[i] * along) / deviation),
        first,
      );
    }
    return y;
  },
};

export const gradient: GradientOf<typeof layerNorm> = ({
  inputs: { x, weight, bias },
  options: { eps, ...given },
  dy,
}) => {
  const shape = normalizedShape({ x: x.shape, weight: weight?.shape, bias: bias?.shape }, { eps, ...given });
  const options = { normalizedShape: shape, eps };
  return {
    x: () => layerNormGradient(dy, x, weight, options),
    weight: () => sumTo(mul(dy, layerNorm(x, options)), shape),
    bias: () => sumTo(dy, shape),
  };
};
