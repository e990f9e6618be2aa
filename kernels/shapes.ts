import { ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sameShape } from "../engine/ground/tensor.ts";

/** Throws a ShapeError unless a kernel's inputs, as far as they are given, have the shapes that are wanted of them. */
export function checkShapes(
  kernel: string,
  given: Readonly<Record<string, Shape | undefined>>,
  wanted: Readonly<Record<string, Shape>>,
): void {
  for (const [name, shape] of Object.entries(wanted)) {
    const got = given[name];
    if (!got || sameShape(got, shape)) continue;
    throw new ShapeError(`${kernel}: ${name} is ${formatShape(got)}; it must be ${formatShape(shape)}`);
  }
}
