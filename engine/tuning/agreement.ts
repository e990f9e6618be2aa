import type { AnyNet, LoadOptions } from "../definition.ts";
import type { Gpu } from "../gpu.ts";
import { TOLERANCE } from "../graph/lower.ts";
import type { Dtype } from "../ground/options.ts";
import { sizeOf, type Tensor } from "../ground/tensor.ts";

// Whether the kernels that a net takes on a device compute what its plain ones do, which are the operators' definitions.

/** Logits of some images of a batch, by their place in it. */
export type Wanted = ReadonlyMap<number, Float32Array>;

export interface PlainOptions extends Pick<LoadOptions, "weights" | "signal"> {
  /** [N, C, H, W], one after the other. */
  readonly images: Float32Array;
  /** The places of those that are computed. */
  readonly of: readonly number[];
}

/** What the plain kernels make of some images, one by one, in float32. Throws what loadNet() and run() throw. */
export async function plainLogits(
  gpu: Gpu,
  net: string | AnyNet,
  { weights, images, of, signal }: PlainOptions,
): Promise<Wanted> {
  await gpu.ready();
  const variants = Object.fromEntries(Object.keys(gpu.variants).map((operator) => [operator, operator]));
  const plain = await gpu.loadNet(net, { weights, variants, signal });
  try {
    const wanted = new Map<number, Float32Array>();
    const size = sizeOf(plain.inputShape);
    for (const image of new Set(of)) {
      const { logits } = await plain.run(images.subarray(image * size, (image + 1) * size), { signal });
      wanted.set(image, logits.data);
    }
    return wanted;
  } finally {
    plain.dispose();
  }
}

/** The largest difference to the wanted logits [N, classes], over the rms of these; NaN where any is. */
export function largestError({ shape, data }: Tensor, wanted: Wanted): number {
  const [batch, classes] = shape;
  let largest = 0;
  for (const [image, values] of wanted) {
    if (image >= batch) continue;
    const rms = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / classes);
    for (let i = 0; i < classes; i++) {
      const error = Math.abs(data[image * classes + i] - values[i]) / rms;
      if (Number.isNaN(error)) return error;
      largest = Math.max(largest, error);
    }
  }
  return largest;
}

/** How large that may be: twice what a net may be off by itself, and in f16 what its eleven bits come to in deep nets. */
const MOST: Readonly<Record<Dtype, number>> = { f32: 2 * TOLERANCE.f32, f16: 0.05 };

/** What is wrong with an error that largestError() found, if anything is. */
export const problemOf = (error: number, dtype: Dtype): string | undefined =>
  error <= MOST[dtype]
    ? undefined
    : `the logits differ from the plain kernels' by ${error.toPrecision(2)} of their rms, ${MOST[dtype]} are allowed`;
