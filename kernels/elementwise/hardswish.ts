import { activate } from "../activation.ts";
import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./hardswish.wgsl.ts";

/** x hardsigmoid(x), of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Hardswish.html */
export const hardSwish = elementwise("hardswish", wgsl, 5, () => "hardswish");

export const reference = /* @__PURE__ */ eachElement(activate.hardswish);
