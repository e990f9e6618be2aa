import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./log.wgsl.ts";

/** The natural logarithm of x, of any shape. https://pytorch.org/docs/stable/generated/torch.log.html */
export const log = elementwise("log", wgsl, 4);

export const reference = /* @__PURE__ */ eachElement(Math.log);
