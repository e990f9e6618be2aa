import { relu as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** max(x, 0) of any shape; NaN stays NaN. https://pytorch.org/docs/stable/generated/torch.nn.ReLU.html */
export const relu = elementwise("relu", wgsl, 1, (x) => Math.max(x, 0));
