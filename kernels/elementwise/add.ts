import type { Value } from "../../engine/graph/graph.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { UsageError } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { add as wgsl } from "../wgsl.ts";
import { broadcastParams, broadcastReference, broadcastShape } from "./broadcast.ts";

const WORKGROUP = 64;

/**
 * a + alpha b with broadcasting, up to four dimensions, then relu if asked for: the residual connection.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.add.html.
 */
export const add = defineKernel({
  name: "add",
  inputs: ["a", "b"],
  options: { alpha: 1, relu: false },
  wgsl,
  fuses: { relu: "relu" },
  example: { shapes: { a: [2, 3, 4, 5], b: [3, 1, 5] } },

  shape({ a, b }, { alpha }) {
    if (!Number.isFinite(alpha)) throw new UsageError(`add: alpha is ${alpha}; it must be a number`);
    return broadcastShape("add", a, b);
  },

  cost: ({ y, options }) => ({ flops: sizeOf(y) * (1 + (options.alpha === 1 ? 0 : 1) + (options.relu ? 1 : 0)) }),
  consts: ({ options }) => ({ WORKGROUP, RELU: options.relu }),
  params: ({ shapes: { a, b }, y, options }) => ({ ...broadcastParams(a, b, y), alpha: options.alpha }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),

  reference: ({ a, b }, { shapes, y, options }) =>
    broadcastReference({ shape: shapes.a, data: a }, { shape: shapes.b, data: b }, y, (left, right) => {
      const sum = left + options.alpha * right;
      return options.relu && sum < 0 ? 0 : sum;
    }),
});

/** a - b with broadcasting. */
export const sub = (a: Value, b: Value): Value => add(a, b, { alpha: -1 });
