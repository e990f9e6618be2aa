import { eachElement, elementwise } from "./elementwise.ts";
import { normalTail } from "./error_function.ts";
import { wgsl } from "./gelu.wgsl.ts";

/**
 * Gaussian error linear unit in its exact form, of any shape.
 * https://pytorch.org/docs/stable/generated/torch.nn.GELU.html
 */
export const gelu = elementwise("gelu", wgsl, 27);

export const reference = /* @__PURE__ */ eachElement((x) => x * (x < 0 ? normalTail(-x) : 1 - normalTail(x)));
