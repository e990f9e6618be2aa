import { silu as wgsl } from "../wgsl.ts";
import { elementwise } from "./elementwise.ts";

/** x sigmoid(x), of any shape. https://pytorch.org/docs/stable/generated/torch.nn.SiLU.html */
export const silu = elementwise("silu", wgsl, 4, (x) => x / (1 + Math.exp(-x)));
