import type { Derivation } from "../graph/graph.ts";
import type { TrainingTable } from "../graph/training.ts";
import type { Value } from "../graph/value.ts";
import { UsageError } from "../ground/errors.ts";
import { pcg } from "../ground/hash.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";
import { quote } from "../weights/checkpoint.ts";

/** A derived parameter as elements of its sources and constants, which are added up. */
interface Picks {
  /** For each source where each element is taken from, counted from 1, and 0 where none is. */
  readonly places: readonly Float32Array[];
  readonly constants: Float32Array;
}

/**
 * What a derivation does with sources of these sizes, by what it makes of numbers that count; undefined if it does more than
 * pick elements and add them up.
 */
export function picksOf({ compute }: Derivation, sizes: readonly number[]): Picks | undefined {
  const of = (element: (source: number, i: number) => number) =>
    compute(...sizes.map((size, source) => Float32Array.from({ length: size }, (_, i) => element(source, i))));
  const constants = of(() => 0);
  const places = sizes.map((_, s) =>
    of((source, i) => (source === s ? i + 1 : 0)).map((place, i) => place - constants[i]),
  );
  // Integers of 16 bits, whose sums f32 has exactly.
  const probe = (source: number, i: number) => pcg(pcg(i) ^ source) >>> 16;
  const isThat = of(probe).every(
    (v, i) => v - constants[i] === places.reduce((sum, at, s) => sum + (at[i] > 0 ? probe(s, at[i] - 1) : 0), 0),
  );
  return isThat ? { places, constants } : undefined;
}

/**
 * A derived parameter by ordinary operators, through which gradients go. Throws a UsageError where it is more than elements of
 * its sources.
 */
export function deriveByOperators(
  name: string,
  shape: Shape,
  from: Derivation,
  sources: readonly Value[],
  { slice, gather, gradients }: Required<TrainingTable>,
): Value {
  const [{ graph }] = sources;
  const sizes = sources.map((source) => sizeOf(source.shape));
  const picks = picksOf(from, sizes);
  if (!picks) {
    const made = from.sources.map(quote).join(", ");
    throw new UsageError(`${quote(name)} has no gradient: by "trainable" leave out what makes it, ${made}`);
  }
  const { places, constants } = picks;
  const constant = (label: string, dims: Shape, values: Float32Array) =>
    graph.param(`${name}, ${label}`, dims, { sources: [], compute: () => values });
  const adds = constants.some(Boolean);
  // Rows that differ in their constants alone are picked once.
  const row = constants.length / shape[0];
  const isRepeated = adds && places.every((all) => all.every((place, i) => place === all[i % row]));
  const dims = isRepeated ? shape.with(0, 1) : shape;
  const terms = places.map((all, s) => {
    const at = all.subarray(0, sizeOf(dims));
    const start = at[0] - 1;
    const isPart = start >= 0 && at.every((place, i) => place === at[0] + i);
    const y = isPart
      ? slice(sources[s], start, start + at.length)
      : gather(sources[s], constant(`places ${s}`, [at.length], at));
    return graph.reshape(y, dims);
  });
  if (adds) terms.push(constant("constants", shape, constants));
  return terms.reduce(gradients.sum);
}
