import { eachElement, elementwise } from "./elementwise.ts";
import { wgsl } from "./leaky_relu.wgsl.ts";

/** x where it is positive, else negativeSlope x, of any shape. https://pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html */
export const leakyRelu = elementwise("leaky_relu", wgsl, 2, undefined, {
  negativeSlope: 0.01,
});

export const reference = /* @__PURE__ */ eachElement<typeof leakyRelu.options>((x, o) =>
  x < 0 ? o.negativeSlope * x : x,
);
