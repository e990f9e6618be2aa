import type { Gpu } from "../engine/gpu.ts";
import { referenceOf } from "../engine/graph/evaluate.ts";
import { Graph } from "../engine/graph/graph.ts";
import type { AnyKernel } from "../engine/graph/kernel.ts";
import type { Variants } from "../engine/graph/variant.ts";
import { UsageError } from "../engine/ground/errors.ts";
import type { Dtype } from "../engine/ground/options.ts";
import { type Shape, sizeOf, type Tensor } from "../engine/ground/tensor.ts";
import { runOnce } from "../engine/model.ts";
import * as exported from "../kernels/index.ts";
import { evaluateReference, references } from "../kernels/references.ts";
import { variants } from "../kernels/variants.ts";
import { variants as broadcastVariants } from "../kernels/variants_broadcast.ts";
import { variants as softwareVariants } from "../kernels/variants_software.ts";

/** What else kernels/index.ts exports are plain functions. */
const kernels = Object.values(exported).filter((each): each is typeof each & AnyKernel => "reflection" in each);

/** Of the largest value that the reference gives, or of 1: where tensors are f32, and where they are f16. */
const TOLERANCES: Readonly<Record<Dtype, number>> = { f32: 1e-5, f16: 5e-3 };

/** The variants that an adapter may use. Software adapters use no tiles, and take seconds to compile each. */
function tableFor({ traits }: Gpu): Variants {
  if (!traits.software) return variants;
  return traits.subgroupSize === 4 ? broadcastVariants : softwareVariants;
}

export interface SelfTest {
  /** The kernel, or the variant of it that was run. */
  readonly kernel: string;
  readonly ok: boolean;
  /** The largest difference to the reference, as a share of the largest value (of 1, if that is less). */
  readonly error?: number;
  /** Why it could not be run. */
  readonly message?: string;
}

/**
 * Runs the example of every kernel, by itself and by each variant that the adapter may use, and compares with the reference.
 * What takes no f32 is run in f16.
 */
export async function* selfTests(gpu: Gpu, table: Variants = tableFor(gpu)): AsyncGenerator<SelfTest> {
  const dtypes: readonly Dtype[] = gpu.traits.f16 ? ["f32", "f16"] : ["f32"];
  for (const kernel of kernels) {
    const { shapes, options = {} } = referenceOf(kernel, references).example;
    const inputs = randomInputs(shapes);
    const wanted = evaluateReference(kernel, inputs, options).data;
    for (const variant of [kernel.name, ...(table[kernel.name] ?? []).map(({ name }) => name)]) {
      const name = variant.startsWith(kernel.name) ? variant : `${kernel.name} ${variant}`;
      for (const dtype of dtypes) {
        try {
          const error = difference(await runVariant(gpu, kernel, options, variant, inputs, dtype), wanted);
          yield { kernel: name, ok: error <= TOLERANCES[dtype], error };
          break;
        } catch (error) {
          // A variant may refuse the example, the dtype, or this device.
          if (variant !== kernel.name && error instanceof UsageError) continue;
          yield { kernel: name, ok: false, message: (error as Error).message };
          break;
        }
      }
    }
  }
}

type Inputs = Readonly<Record<string, Tensor>>;

function randomInputs(shapes: Readonly<Record<string, Shape>>): Inputs {
  const random = randomNumbers(1);
  const draw = ([name, shape]: [string, Shape]) => {
    // A variance is positive.
    const number = name === "variance" ? () => 0.5 + random() : () => 2 * random() - 1;
    return [name, { shape, data: Float32Array.from({ length: sizeOf(shape) }, number) }];
  };
  return Object.fromEntries(Object.entries(shapes).map(draw));
}

async function runVariant(
  gpu: Gpu,
  kernel: AnyKernel,
  options: object,
  variant: string,
  inputs: Inputs,
  dtype: Dtype,
): Promise<Float32Array> {
  const graph = new Graph();
  const isVariadic = kernel.inputs[0].endsWith("...");
  const names = isVariadic ? Object.keys(inputs) : kernel.inputs.map((name) => name.replace("?", ""));
  const values = names.map((name, i) => {
    if (!(name in inputs)) return undefined;
    // Parameters, since variants may want to pack their weights.
    return i === 0 ? graph.input(name, inputs[name].shape) : graph.param(name, inputs[name].shape);
  });
  graph.name("y", kernel(...values, options));
  return (await runOnce(gpu, graph, inputs, ["y"], { dtype, variants: { [kernel.name]: variant } })).y.data;
}

/** NaN and infinities must be where the reference has them. */
function difference(got: Float32Array, wanted: Float64Array): number {
  if (got.length !== wanted.length) return Infinity;
  let [scale, largest] = [1, 0];
  wanted.forEach((value, i) => {
    if (Number.isFinite(value)) scale = Math.max(scale, Math.abs(value));
    if (Object.is(got[i], Math.fround(value))) return;
    const error = Math.abs(got[i] - value);
    largest = Math.max(largest, Number.isNaN(error) ? Infinity : error);
  });
  return largest / scale;
}

/** Numbers from 0 to 1 that are the same every time: xorshift of 32 bits (Marsaglia, "Xorshift RNGs", 2003). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
