import { eachElement, elementwise } from "./elementwise.ts";
import { erf } from "./erf.ts";
import { wgsl } from "./gelu.wgsl.ts";

/**
 * Gaussian error linear unit in its exact form, of any shape.
 * https://pytorch.org/docs/stable/generated/torch.nn.GELU.html
 */
export const gelu = elementwise("gelu", wgsl, 20);

export const reference = /* @__PURE__ */ eachElement((x) => (x / 2) * (1 + erf(x / Math.SQRT2)));
