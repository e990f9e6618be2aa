import { leaky_relu as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** x where it is positive, else negativeSlope x, of any shape. https://pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html */
export const leakyRelu = elementwise("leaky_relu", wgsl, 2, (x, o) => (x < 0 ? o.negativeSlope * x : x), {
  negativeSlope: 0.01,
});
