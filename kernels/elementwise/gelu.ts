import { eachElement, elementwise } from "./elementwise.ts";
import { errorFunction } from "./error_function.ts";
import { wgsl } from "./gelu.wgsl.ts";

/**
 * Gaussian error linear unit in its exact form, of any shape.
 * https://pytorch.org/docs/stable/generated/torch.nn.GELU.html
 */
export const gelu = elementwise("gelu", wgsl, 20);

export const reference = /* @__PURE__ */ eachElement((x) => (x / 2) * (1 + errorFunction(x / Math.SQRT2)));
