import type { ReferenceOf } from "../../engine/graph/evaluate.ts";
import { defineKernel, linearGrid } from "../../engine/graph/kernel.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { broadcastParams, broadcastReference, broadcastShape } from "./broadcast.ts";
import { wgsl } from "./mul.wgsl.ts";

const WORKGROUP = 64;

/** a * b with broadcasting. https://pytorch.org/docs/stable/generated/torch.mul.html */
export const mul = defineKernel({
  name: "mul",
  inputs: ["a", "b"],
  options: {},
  wgsl,
  shape: ({ a, b }) => broadcastShape("mul", a, b),
  cost: ({ y }) => ({ flops: sizeOf(y) }),
  consts: () => ({ WORKGROUP }),
  params: ({ shapes: { a, b }, y }) => ({ count: sizeOf(y), ...broadcastParams(a, b, y) }),
  grid: ({ y }) => linearGrid(sizeOf(y), WORKGROUP),
});

export const reference: ReferenceOf<typeof mul> = {
  example: { shapes: { a: [2, 3, 4, 5], b: [2, 3, 1, 1] } },

  compute: ({ a, b }, { shapes, y }) =>
    broadcastReference({ shape: shapes.a, data: a }, { shape: shapes.b, data: b }, y, (left, right) => left * right),
};
