import type { Derivation } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import { show, UsageError } from "../../engine/ground/errors.ts";
import { pcg } from "../../engine/ground/hash.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { add } from "../elementwise/add.ts";
import { gather } from "../gather.ts";
import { pad } from "../pad.ts";
import { slice } from "../slice.ts";

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

/** The elements of x [I] at `places` [J], counted from 1, and 0 for a place of 0: [J]. */
function gatherPlaces(x: Value, places: Value): Value {
  const row = x.graph.reshape(x, [1, 1, 1, ...x.shape]);
  return x.graph.reshape(gather(pad(row, { padding: [0, 1, 0, 0] }), places, { dim: 3 }), places.shape);
}

/**
 * A derived parameter by ordinary operators, through which gradients go. Throws a UsageError where it is more than elements of
 * its sources.
 */
export function deriveByOperators(name: string, shape: Shape, from: Derivation, sources: readonly Value[]): Value {
  const [{ graph }] = sources;
  const sizes = sources.map((source) => sizeOf(source.shape));
  const picks = picksOf(from, sizes);
  if (!picks) {
    const made = from.sources.map(show).join(", ");
    throw new UsageError(`${show(name)} has no gradient: by "trainable" leave out what makes it, ${made}`);
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
    const source = graph.reshape(sources[s], [sizes[s]]);
    const y = isPart
      ? slice(source, { dim: 0, start, end: start + at.length })
      : gatherPlaces(source, constant(`places ${s}`, [at.length], at));
    return graph.reshape(y, dims);
  });
  if (adds) terms.push(constant("constants", shape, constants));
  return terms.reduce((a, b) => add(a, b));
}
