import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import { check } from "../../engine/ground/errors.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import {
  type Activated,
  activate,
  activationCode,
  activationConsts,
  activationFlops,
  checkActivation,
  SHORTHANDS,
} from "../activation.ts";
import { wgsl } from "./add.wgsl.ts";
import { broadcastParams, broadcastReference, broadcastShape } from "./broadcast.ts";

const WORKGROUP = 64;

/**
 * a + alpha b with broadcasting, then an activation if asked for: the residual connection.
 * Semantics of https://pytorch.org/docs/stable/generated/torch.add.html.
 */
export const add = defineKernel({
  name: "add",
  inputs: ["a", "b"],
  options: { alpha: 1, activation: "none" } as Activated & { alpha: number },
  wgsl,
  fuses: { activation: "activation" },
  sums: ({ alpha }) => alpha === 1,
  shorthands: SHORTHANDS,

  shape({ a, b }, { alpha, activation }) {
    checkActivation("add", activation);
    check(Number.isFinite(alpha), "add: alpha", alpha, "a number");
    return broadcastShape("add", a, b);
  },

  cost: ({ y, options }) => ({
    flops: sizeOf(y) * (1 + (options.alpha === 1 ? 0 : 1) + activationFlops(options.activation)),
  }),
  consts: ({ options }) => ({ WORKGROUP, ...activationConsts(options) }),
  params: ({ shapes: { a, b }, y, options }) => ({
    count: sizeOf(y),
    ...broadcastParams(a, b, y),
    alpha: options.alpha,
    activation: activationCode(options.activation),
  }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof add> = {
  example: { shapes: { a: [2, 3, 4, 5], b: [3, 1, 5] } },

  compute: ({ a, b }, { shapes, y, options }) =>
    broadcastReference({ shape: shapes.a, data: a }, { shape: shapes.b, data: b }, y, (left, right) => {
      return activate[options.activation](left + options.alpha * right);
    }),
};

/** a - b with broadcasting. */
export const sub = (a: Value, b: Value): Value => add(a, b, { alpha: -1 });
