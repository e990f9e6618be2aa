import { activate } from "../activation.ts";
import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./relu.wgsl.ts";

/** max(x, 0) of any shape; NaN stays NaN. https://pytorch.org/docs/stable/generated/torch.nn.ReLU.html */
export const relu = elementwise("relu", wgsl, 1, () => "relu");

export const reference = /* @__PURE__ */ eachElement(activate.relu);
