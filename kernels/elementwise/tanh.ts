import { activate } from "../activation.ts";
import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./tanh.wgsl.ts";

/** Hyperbolic tangent of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Tanh.html */
export const tanh = elementwise("tanh", wgsl, 1, () => "tanh");

export const reference = /* @__PURE__ */ eachElement(activate.tanh);
