import type { Derivation } from "../graph/graph.ts";
import type { TrainingTable } from "../graph/training.ts";
import type { Value } from "../graph/value.ts";
import { UsageError } from "../ground/errors.ts";
import { type Shape, sizeOf } from "../ground/tensor.ts";
import { quote } from "../weights/checkpoint.ts";
import { pcg } from "./initial.ts";

/** A derived parameter as elements of its sources and constants, which are added up. */
interface Picks {
  /** For each source where each element is taken from, -1 where none is. */
  readonly places: readonly Int32Array[];
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
  const places = sizes.map((_, s) => {
    const counted = of((source, i) => (source === s ? i + 1 : 0));
    return Int32Array.from(counted, (v, i) => v - constants[i] - 1);
  });
  // Integers of 16 bits, whose sums f32 has exactly.
  const probe = (source: number, i: number) => pcg(pcg(i) ^ source) >>> 16;
  const isThat = of(probe).every((v, i) => {
    const sum = places.reduce((all, at, source) => all + (at[i] < 0 ? 0 : probe(source, at[i])), 0);
    return places.every((at, source) => at[i] >= -1 && at[i] < sizes[source]) && v - constants[i] === sum;
  });
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
  { slice, gather, gradients }: TrainingTable,
): Value {
  const [{ graph }] = sources;
  const picks = picksOf(
    from,
    sources.map((source) => sizeOf(source.shape)),
  );
  if (!picks) {
    throw new UsageError(
      `"${name}" is computed from ${from.sources.map(quote).join(", ")} when weights are loaded, which has no gradient: ` +
        'leave these out of what is trained, by the option "trainable"',
    );
  }
  const { places, constants } = picks;
  const constant = (label: string, values: ArrayLike<number>, dims: Shape) =>
    graph.param(`${name}, ${label}`, dims, { sources: [], compute: () => Float32Array.from(values) });
  const adds = constants.some((v) => v !== 0);
  // Rows that differ in their constants alone are picked once.
  const row = constants.length / shape[0];
  const isRepeated = adds && places.every((at) => at.every((place, i) => place === at[i % row]));
  const dims = isRepeated ? shape.with(0, 1) : shape;
  const terms = sources.map((source, s) => {
    const x = graph.reshape(source, [sizeOf(source.shape)]);
    const at = places[s].subarray(0, sizeOf(dims));
    const [start] = at;
    const isPart = start >= 0 && at.every((place, i) => place === start + i);
    if (isPart && at.length === x.shape[0]) return graph.reshape(x, dims);
    if (isPart) return graph.reshape(slice(x, start, start + at.length), dims);
    return graph.reshape(gather(x, constant(`places in source ${s}`, at, [at.length])), dims);
  });
  if (adds) terms.push(constant("constants", constants, shape));
  return terms.reduce(gradients.sum);
}
