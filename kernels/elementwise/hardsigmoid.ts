import { hardsigmoid as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** Piecewise linear sigmoid, of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Hardsigmoid.html */
export const hardSigmoid = elementwise("hardsigmoid", wgsl, 4, (x) => Math.min(Math.max(x + 3, 0), 6) / 6);
