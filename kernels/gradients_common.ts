import { UsageError } from "../engine/ground/errors.ts";
import type { Activated } from "./activation.ts";

/** Throws a UsageError for an operator whose activation is fused: gradients are taken of graphs before that. */
export function refuseFused(kernel: string, options: Readonly<Activated>): void {
  if (options.activation !== "none") {
    throw new UsageError(`${kernel} has no gradient with its activation fused: apply it as an operator of its own`);
  }
}
