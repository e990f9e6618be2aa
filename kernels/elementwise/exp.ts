import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./exp.wgsl.ts";

/** e to the power of x, of any shape. https://pytorch.org/docs/stable/generated/torch.exp.html */
export const exp = elementwise("exp", wgsl, 4);

export const reference = /* @__PURE__ */ eachElement(Math.exp);
