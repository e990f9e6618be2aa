import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./power.wgsl.ts";

/**
 * x to the power of `exponent`, of any shape; a negative x wants a whole exponent.
 * https://pytorch.org/docs/stable/generated/torch.pow.html
 */
export const power = elementwise("power", wgsl, 4, undefined, { exponent: 2 });

export const reference = /* @__PURE__ */ eachElement<typeof power.options>((x, { exponent }) => x ** exponent);
