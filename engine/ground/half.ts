import type { Dtype } from "../graph/kernel.ts";
import { fromHalf, halfOfBits } from "../weights/safetensors.ts";

// Tensors as the device stores them: float32 as it is, or IEEE 754 binary16 rounded to nearest, ties to even.

/** Elements as the device stores them, filled up to the multiple of 4 bytes that WebGPU writes. */
export function pack(values: Float32Array, dtype: Dtype): Float32Array | Uint16Array {
  if (dtype === "f32") return values;
  const halves = new Uint16Array(values.length + (values.length % 2));
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) halves[i] = halfOfBits(bits[i]);
  return halves;
}

/** The first `count` elements of what the device stored. */
export function unpack(bytes: ArrayBuffer, dtype: Dtype, count: number): Float32Array {
  if (dtype === "f32") return new Float32Array(bytes.slice(0, 4 * count));
  return Float32Array.from(new Uint16Array(bytes, 0, count), fromHalf);
}

/** True if f16 made an infinity of something. */
export const overflows = (values: Float32Array, packed: Float32Array | Uint16Array): boolean =>
  packed instanceof Uint16Array && values.some((value, i) => (packed[i] & 0x7fff) === 0x7c00 && Number.isFinite(value));
