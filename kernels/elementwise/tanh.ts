import { tanh as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** Hyperbolic tangent of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Tanh.html */
export const tanh = elementwise("tanh", wgsl, 1, Math.tanh);
