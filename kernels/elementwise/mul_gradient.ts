import type { GradientOf } from "../../engine/graph/gradients.ts";
import { sumTo } from "../sum.ts";
import { mul } from "./mul.ts";

export const gradient: GradientOf<typeof mul> = ({ inputs: { a, b }, dy }) => ({
  a: () => sumTo(mul(dy, b), a.shape),
  b: () => sumTo(mul(dy, a), b.shape),
});
