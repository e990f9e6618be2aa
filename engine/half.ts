import type { Dtype } from "./kernel.ts";
import { fromHalf } from "./safetensors.ts";

// Tensors as the device stores them: float32 as it is, or IEEE 754 binary16 rounded to nearest, ties to even.

/** Elements as the device stores them, filled up to the multiple of 4 bytes that WebGPU writes. */
export function pack(values: Float32Array, dtype: Dtype): Float32Array | Uint16Array {
  if (dtype === "f32") return values;
  const halves = new Uint16Array(values.length + (values.length % 2));
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < values.length; i++) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const size = bits[i] & 0x7fffffff;
    halves[i] =
      size > 0x7f800000
        ? 0x7e00
        : size < 0x38800000
          ? // Below 2^-14 halves are multiples of 2^-24.
            sign | roundToEven(Math.abs(values[i]) * 2 ** 24)
          : sign | Math.min(((size + 0xfff + ((size >> 13) & 1)) >> 13) - (112 << 10), 0x7c00);
  }
  return halves;
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** The first `count` elements of what the device stored. */
export function unpack(bytes: ArrayBuffer, dtype: Dtype, count: number): Float32Array {
  if (dtype === "f32") return new Float32Array(bytes.slice(0, 4 * count));
  return Float32Array.from(new Uint16Array(bytes, 0, count), fromHalf);
}

/** True if f16 made an infinity of something. */
export const overflows = (values: Float32Array, packed: Float32Array | Uint16Array): boolean =>
  packed instanceof Uint16Array && values.some((value, i) => (packed[i] & 0x7fff) === 0x7c00 && Number.isFinite(value));
