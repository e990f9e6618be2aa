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
  const zeros: readonly Float32Array[] = sizes.map((size) => new Float32Array(size));
  const constants = compute(...zeros);
  const places = sizes.map((size, s) => {
    const made = compute(
      ...zeros.with(
        s,
        numbers(size, (i) => i + 1),
      ),
    );
    return made.map((place, i) => place - constants[i]);
  });
  // Integers of 16 bits, whose sums f32 has exactly.
  const probes = sizes.map((size, s) => numbers(size, (i) => pcg(pcg(i) ^ s) >>> 16));
  const isThat = compute(...probes).every((v, i) => {
    let sum = constants[i];
    for (let s = 0; s < sizes.length; s++) if (places[s][i] > 0) sum += probes[s][places[s][i] - 1];
    return v === Math.fround(sum);
  });
  return isThat ? { places, constants } : undefined;
}

/** Of a weight, whose elements are many. */
function numbers(size: number, of: (i: number) => number): Float32Array {
  const all = new Float32Array(size);
  for (let i = 0; i < size; i++) all[i] = of(i);
  return all;
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
