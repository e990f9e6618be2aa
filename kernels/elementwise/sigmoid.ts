import { sigmoid as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** Logistic function, of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html */
export const sigmoid = elementwise("sigmoid", wgsl, 4, (x) => 1 / (1 + Math.exp(-x)));
