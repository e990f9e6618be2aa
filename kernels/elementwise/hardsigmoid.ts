import { activate } from "../activation.ts";
import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./hardsigmoid.wgsl.ts";

/** Piecewise linear sigmoid, of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Hardsigmoid.html */
export const hardSigmoid = elementwise("hardsigmoid", wgsl, 4, () => "hardsigmoid");

export const reference = /* @__PURE__ */ eachElement(activate.hardsigmoid);
