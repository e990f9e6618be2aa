import type { Dtype } from "../ground/options.ts";
import type { Tensor } from "../ground/tensor.ts";

/** How tensors of a dtype lie on the device. */
export interface Storage {
  /** Elements as the device stores them, filled up to the multiple of 4 bytes that WebGPU writes. */
  pack(values: Float32Array): Float32Array | Uint16Array;
  /** The first `count` elements of what the device stored. */
  unpack(bytes: ArrayBuffer, count: number): Float32Array;
  /** Throws a GpuError (OVERFLOW) if packing made an infinity of something. */
  checkPacked?(name: string, values: Float32Array, packed: Float32Array | Uint16Array): void;
  /** Throws a GpuError (OVERFLOW) if outputs are infinite that are so in none of the inputs in memory. */
  checkOutputs?(inputs: readonly unknown[], outputs: Readonly<Record<string, Tensor>>): void;
}

const F32: Storage = {
  pack: (values) => values,
  unpack: (bytes, count) => new Float32Array(bytes.slice(0, 4 * count)),
};

/** That of f16 is loaded where it is wanted. */
export const storageOf = async (dtype: Dtype): Promise<Storage> =>
  dtype === "f32" ? F32 : (await import("./f16.ts")).F16;
