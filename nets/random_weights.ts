import { type AnyNet, type LoadOptions, trace } from "../engine/definition.ts";
import { paramShapes } from "../engine/graph/graph.ts";
import { WeightsError } from "../engine/ground/errors.ts";
import { type Shape, sizeOf } from "../engine/ground/tensor.ts";
import type { Checkpoint } from "../engine/weights/checkpoint.ts";

/**
 * Random weights for measuring a net without its checkpoint, as a checkpoint that makes them as they are read. They are
 * the same for the same `seed`, and of a size that keeps activations near 1 from the first layer to the last, in f16,
 * too. Takes the options that the net will be loaded with.
 */
export function randomWeights(definition: AnyNet, options: LoadOptions & object = {}, seed = 1): Checkpoint {
  const shapes = paramShapes(trace(definition, options));
  return {
    name: "random weights",
    tensors: new Map([...shapes].map(([name, shape]) => [name, { shape, dtype: "F32" }])),
    async read(name, start = 0, count) {
      const shape = shapes.get(name);
      if (!shape) throw new WeightsError(`${definition.name} has no parameter ${name}`);
      const { centre, spread } = distribution(name, shape);
      return uniform(`${seed} ${name}`, start, count ?? sizeOf(shape) - start, centre, spread);
    },
    close: async () => {},
  };
}

/** Uniform in centre ± spread, by what a parameter is: see layers.ts. */
function distribution(name: string, shape: Shape): { readonly centre: number; readonly spread: number } {
  // What comes before a shortcut scales down, or the sum of a block would double the variance of its input.
  const scale = /\.(bn[23]|block\.3\.1|conv_c)\.weight$/.test(name) ? 0.25 : 1;
  // K. He et al., "Delving deep into rectifiers", 2015: a variance of 2 over the number of inputs.
  if (shape.length > 1) return { centre: 0, spread: scale * Math.sqrt(6 / sizeOf(shape.slice(1))) };
  if (/\.running_var$/.test(name)) return { centre: 1, spread: 0.25 };
  if (/\.(bias|running_mean)$/.test(name)) return { centre: 0, spread: 0.1 };
  return scale < 1 ? { centre: scale, spread: 0.05 } : { centre: 1, spread: 0.25 };
}

/** Numbers `start` to `start + count - 1` of a sequence of its own for every key. */
function uniform(key: string, start: number, count: number, centre: number, spread: number): Float32Array {
  let base = 0;
  for (let i = 0; i < key.length; i++) base = mix(base ^ key.charCodeAt(i));
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = centre + spread * (mix(base + start + i) / 2 ** 31 - 1);
  return values;
}

/** Bits of 32 mixed well: the finalizer of MurmurHash3 (A. Appleby, public domain), on a stride of the golden ratio. */
function mix(value: number): number {
  let bits = Math.imul(value, 0x9e3779b9);
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
