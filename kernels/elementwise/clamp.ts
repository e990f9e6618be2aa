import type { Value } from "../../engine/graph/value.ts";
import { wgsl } from "./clamp.wgsl.ts";
import { eachElement, elementwise } from "./elementwise.ts";

/** min(max(x, low), high) of any shape; NaN stays NaN. https://pytorch.org/docs/stable/generated/torch.clamp.html */
export const clamp = elementwise("clamp", wgsl, 2, ({ low, high }) => (low === 0 && high === 6 ? "relu6" : undefined), {
  low: -Infinity,
  high: Infinity,
});

/** min(max(x, 0), 6). https://pytorch.org/docs/stable/generated/torch.nn.ReLU6.html */
export const relu6 = (x: Value): Value => clamp(x, { low: 0, high: 6 });

export const reference = /* @__PURE__ */ eachElement<typeof clamp.options>((x, { low, high }) =>
  Math.min(Math.max(x, low), high),
);
