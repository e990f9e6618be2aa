import { hardswish as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** x hardsigmoid(x), of any shape. https://pytorch.org/docs/stable/generated/torch.nn.Hardswish.html */
export const hardSwish = elementwise("hardswish", wgsl, 5, (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6);
