import { ShapeError, UsageError } from "../ground/errors.ts";
import { bytesPerElement, type Dtype } from "../ground/options.ts";
import { all, untilAborted } from "../ground/promises.ts";
import { formatShape, roundUp, type Shape, sizeOf } from "../ground/tensor.ts";
import type { Executable, Input, Inputs } from "./executable.ts";
import { COPY_DST, COPY_SRC, STORAGE } from "./usage.ts";

// What a net reads from the device and leaves there.

/**
 * A tensor on the device, in NCHW, for kernels of one's own or as the input of another run; gpu.device is the device. Its
 * values have not been looked at: with f16 they may be infinite.
 */
export interface DeviceTensor {
  readonly shape: Shape;
  /** Of the elements in the buffer: that of the net. */
  readonly dtype: Dtype;
  /** To be bound for storage, and to be copied; it may have some bytes more than the tensor. */
  readonly buffer: GPUBuffer;
  /** Frees the buffer, which otherwise lives as long as the device. */
  dispose(): void;
}

/**
 * A batch whose elements are in a buffer of the device, as the net's dtype. They are read when the run's turn comes. Throws
 * a ShapeError for too small a buffer, a UsageError for one that cannot be copied from.
 */
export function takeBuffer(buffer: GPUBuffer, shape: Shape, dtype: Dtype) {
  const bytes = bytesPerElement(dtype) * sizeOf(shape);
  const imageBytes = bytes / shape[0];
  if (!(buffer.size >= roundUp(bytes, 4))) {
    throw new ShapeError(
      `the input is a buffer of ${Number(buffer.size)} bytes; ${formatShape(shape)} in ${dtype} has ${bytes}`,
    );
  }
  if (!(Number(buffer.usage) & COPY_SRC)) throw new UsageError("the input is a GPUBuffer without the usage COPY_SRC");
  return {
    slice:
      (first: number, count: number): Input =>
      (encoder, target) => {
        try {
          const bytes = roundUp(count * imageBytes, 4);
          encoder.copyBufferToBuffer(buffer, first * imageBytes, target.buffer, target.offset, bytes);
        } catch (cause) {
          throw new UsageError(`the input is no GPUBuffer of this device (${(cause as Error).message})`, { cause });
        }
      },
    dispose() {},
  };
}

/**
 * Runs slices of a batch one after the other and leaves their outputs on the device, joined; resolves when all work is
 * submitted. Throws what Executable.run() throws, a GpuError (OUT_OF_MEMORY) where the outputs do not fit.
 */
export async function keepSlices(
  executable: Executable,
  slices: readonly (() => Promise<Inputs>)[],
  signal?: AbortSignal,
): Promise<Record<string, DeviceTensor>> {
  const { device, plan } = executable;
  const { outputs, dtype } = plan;
  const bytesOf = (shape: Shape) => bytesPerElement(dtype) * sizeOf(shape);
  const odd = outputs.find(({ shape }) => slices.length > 1 && bytesOf(shape) % 4 !== 0);
  if (odd) throw new UsageError(`${odd.name} cannot be joined on the device: read it, or load with a smaller batch`);
  const buffers: GPUBuffer[] = [];
  const make = async ({ name, shape }: (typeof outputs)[number]) => {
    const bytes = slices.length * bytesOf(shape);
    const buffer = await device.createBuffer(`kept ${name}`, bytes, STORAGE | COPY_SRC | COPY_DST);
    buffers.push(buffer);
    return {
      shape: shape.with(0, slices.length * shape[0]),
      dtype,
      buffer,
      dispose: () => device.destroyBuffer(buffer),
    };
  };
  const run = async () => {
    const kept = await all(outputs.map(make));
    for (const [i, slice] of slices.entries()) {
      signal?.throwIfAborted();
      const inputs = await slice();
      const submitted = executable.submit(inputs, (encoder) => {
        for (const [j, { name, shape }] of outputs.entries()) {
          const bytes = bytesOf(shape);
          const { buffer, offset } = executable.output(name);
          encoder.copyBufferToBuffer(buffer, offset, kept[j].buffer, i * bytes, roundUp(bytes, 4));
        }
      });
      const problem = await device.settle(submitted);
      if (problem) throw problem;
    }
    signal?.throwIfAborted();
    return Object.fromEntries(outputs.map(({ name }, j) => [name, kept[j]]));
  };
  const turn = () =>
    run().catch((error) => {
      for (const buffer of buffers) device.destroyBuffer(buffer);
      throw error;
    });
  return untilAborted(executable.exclusive(turn), signal);
}
