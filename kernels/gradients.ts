import type { Gradients } from "../engine/graph/gradients.ts";
import { clampGradient, gradientOf } from "./elementwise/activation_gradient.ts";
import { add } from "./elementwise/add.ts";

/** The gradients of operators by their names; each stands beside its operator. */
export const gradients: Gradients = {
  of: {
    clamp: clampGradient,
    gelu: gradientOf("gelu"),
    hardsigmoid: gradientOf("hardsigmoid"),
    hardswish: gradientOf("hardswish"),
    leaky_relu: gradientOf("leaky_relu"),
    relu: gradientOf("relu"),
    sigmoid: gradientOf("sigmoid"),
    silu: gradientOf("silu"),
    tanh: gradientOf("tanh"),
  },
  sum: (a, b) => add(a, b),
};
