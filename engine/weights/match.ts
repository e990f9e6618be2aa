import { WeightsError } from "../ground/errors.ts";
import { formatShape, type Shape, sameShape } from "../ground/tensor.ts";
import type { Checkpoint } from "./checkpoint.ts";

/**
 * Checks that a checkpoint has exactly the wanted tensors, in name and shape. `*.num_batches_tracked`, which batchnorm
 * keeps for training only, may be there or not.
 * @throws WeightsError that says what is missing, left over or misshapen.
 */
export function matchCheckpoint(checkpoint: Checkpoint, wanted: ReadonlyMap<string, Shape>): void {
  const counts = (name: string) => !name.endsWith(".num_batches_tracked");
  const names = [...wanted.keys()].filter(counts);
  const got = checkpoint.tensors;

  const missing = names.filter((name) => !got.has(name));
  const extra = [...got.keys()].filter((name) => counts(name) && !wanted.has(name));
  const misshapen: { name: string; is: Shape; want: Shape }[] = [];
  for (const name of names) {
    const is = got.get(name)?.shape;
    const want = wanted.get(name) as Shape;
    if (is && !sameShape(is, want)) misshapen.push({ name, is, want });
  }

  const problems = [
    [missing, "missing"] as const,
    [extra, "extra"] as const,
    [
      misshapen.map(({ name, is, want }) => `${name} is ${formatShape(is)}, wanted ${formatShape(want)}`),
      "misshapen",
    ] as const,
  ].filter(([list]) => list.length > 0);
  if (problems.length === 0) return;

  const told = problems.map(([list, what], i) => {
    const noun = i > 0 ? "" : list.length === 1 ? "tensor " : "tensors ";
    return `${list.length} ${noun}${what} (${list.slice(0, 3).join(", ")}${list.length > 3 ? ", ..." : ""})`;
  });

  // Weight and bias of the last layer, right but for the count of outputs: a net trained for another set of classes.
  const head = names.at(-1)?.replace(/[^.]*$/, "") ?? "";
  const classes = misshapen[0]?.is[0];
  const onlyClasses = misshapen.every(
    ({ name, is, want }) =>
      name.startsWith(head) && is[0] === classes && sameShape(is.slice(1), want.slice(1)) && is.length === want.length,
  );
  const hint =
    problems.length === 1 && misshapen.length > 0 && onlyClasses
      ? `; it was trained for ${classes} classes: pass the option numClasses: ${classes}`
      : "";
  throw new WeightsError(`${checkpoint.name} does not fit: ${told.join(", ")}${hint}`);
}
