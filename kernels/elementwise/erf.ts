import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./erf.wgsl.ts";
import { errorFunction } from "./error_function.ts";

/** The error function, of any shape. https://pytorch.org/docs/stable/special.html#torch.special.erf */
export const erf = elementwise("erf", wgsl, 40);

export const reference = /* @__PURE__ */ eachElement(errorFunction);
