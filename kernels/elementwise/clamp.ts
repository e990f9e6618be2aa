import type { Value } from "../../engine/graph/graph.ts";
import { clamp as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** min(max(x, low), high) of any shape; NaN stays NaN. https://pytorch.org/docs/stable/generated/torch.clamp.html */
export const clamp = elementwise("clamp", wgsl, 2, (x, { low, high }) => Math.min(Math.max(x, low), high), {
  low: -Infinity,
  high: Infinity,
});

/** min(max(x, 0), 6). https://pytorch.org/docs/stable/generated/torch.nn.ReLU6.html */
export const relu6 = (x: Value): Value => clamp(x, { low: 0, high: 6 });
