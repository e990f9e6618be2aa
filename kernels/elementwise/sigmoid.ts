import { activate } from "../activation.ts";
import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./sigmoid.wgsl.ts";

/** Logistic function, of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html */
export const sigmoid = elementwise("sigmoid", wgsl, 4, () => "sigmoid");

export const reference = /* @__PURE__ */ eachElement(activate.sigmoid);
