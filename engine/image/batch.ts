import { checkInput, type Input } from "../device/executable.ts";
import { ShapeError, show } from "../ground/errors.ts";
import { formatShape, type Shape, sameShape, type Tensor } from "../ground/tensor.ts";

/** The input of a batch. What it was made from is its owner's again at once. */
export interface Batch {
  /** The input that its images `first` to `first + count` are. */
  slice(first: number, count: number): Input;
  /** True if no device holds anything of it. */
  readonly inMemory?: boolean;
  /** Frees what it holds, once nothing runs on it any more. */
  dispose(): void;
}

/** A batch of elements that are ready. Throws a ShapeError unless they have the shape [N, C, H, W]. */
export function takeElements(input: Float32Array | Tensor, shape: Shape): Batch {
  const { data = input, shape: given = shape } = Object(input) as Partial<Tensor>;
  if (!Array.isArray(given)) throw new ShapeError(`the input has shape ${show(given)}; wanted ${formatShape(shape)}`);
  if (!sameShape(given, shape)) {
    throw new ShapeError(`the input is ${show(given)}; the net was loaded for ${formatShape(shape)}`);
  }
  checkInput("x", shape, data);
  return batchOf(data.slice(), shape);
}

/** A batch of elements in memory. */
export function batchOf(data: Float32Array, [batch]: Shape): Batch {
  const size = data.length / batch;
  return { slice: (first, count) => data.subarray(first * size, (first + count) * size), inMemory: true, dispose() {} };
}

/** One output of slices of a batch, as that of the whole. */
export function joinBatches(parts: readonly Tensor[]): Tensor {
  const [{ shape, data }] = parts;
  const joined = new Float32Array(parts.length * data.length);
  parts.forEach((part, i) => {
    joined.set(part.data, i * data.length);
  });
  return { shape: shape.with(0, parts.length * shape[0]), data: joined };
}
