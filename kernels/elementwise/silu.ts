import { activate } from "../activation.ts";
import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./silu.wgsl.ts";

/** x sigmoid(x), of any shape. https://pytorch.org/docs/stable/generated/torch.nn.SiLU.html */
export const silu = elementwise("silu", wgsl, 4, () => "silu");

export const reference = /* @__PURE__ */ eachElement(activate.silu);
