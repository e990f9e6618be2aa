import type { Graph } from "../graph/graph.ts";
import { WeightsError } from "../ground/errors.ts";
import { pcg } from "../ground/hash.ts";
import { sizeOf } from "../ground/tensor.ts";
import { type Checkpoint, quote } from "../weights/checkpoint.ts";

/** A hash of a text and a seed. */
const hashOf = (text: string, seed: number): number =>
  [...text].reduce((hash, character) => pcg(hash ^ (character.codePointAt(0) as number)), pcg(seed >>> 0));

/**
 * What a net's training begins with, as PyTorch's layers do: weights and biases of convolutions and linear layers are uniform
 * within 1 / sqrt(fan in), those of normalizations 1 and 0. The same for the same seed.
 */
export function initialWeights({ nodes }: Graph, seed: number): Checkpoint {
  const params = nodes.flatMap((node) => (node.kind === "param" && !node.from ? [[node.name, node] as const] : []));
  const shapes = new Map(params.map(([name, { shape }]) => [name, shape]));
  const fanIn = (name: string): number => {
    const weight = shapes.get(name.replace(/[^.]*$/, "weight"));
    return weight && weight.length > 1 ? sizeOf(weight.slice(1)) : 0;
  };
  return {
    name: "initial weights",
    tensors: new Map([...shapes].map(([name, shape]) => [name, { shape, dtype: "F32" }])),
    async read(name, start = 0, count) {
      const shape = shapes.get(name);
      if (!shape) throw new WeightsError(`the net has no parameter ${quote(name)}`);
      const size = count ?? sizeOf(shape) - start;
      const terms = fanIn(name);
      if (terms === 0) return new Float32Array(size).fill(/(weight|var)$/.test(name) ? 1 : 0);
      const bound = 1 / Math.sqrt(terms);
      const key = hashOf(name, seed);
      return Float32Array.from({ length: size }, (_, i) => bound * (pcg(pcg(start + i) ^ key) / 2 ** 31 - 1));
    },
    close: async () => {},
  };
}
