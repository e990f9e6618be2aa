import { GpuError } from "../ground/errors.ts";
import { fromHalf, halfOfBits } from "../ground/half.ts";
import type { Storage } from "./storage.ts";

// In f16 a value over 65504 becomes infinite, and stays visible as an infinity or a NaN wherever it matters.

const allFinite = (values: Float32Array): boolean => values.every((value) => Number.isFinite(value));

export const F16: Storage = {
  pack(values) {
    const halves = new Uint16Array(values.length + (values.length % 2));
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = 0; i < bits.length; i++) halves[i] = halfOfBits(bits[i]);
    return halves;
  },

  unpack: (bytes, count) => Float32Array.from(new Uint16Array(bytes, 0, count), fromHalf),

  checkPacked(name, values, packed) {
    if (!values.some((value, i) => (packed[i] & 0x7fff) === 0x7c00 && Number.isFinite(value))) return;
    throw new GpuError("OVERFLOW", `${name} holds values beyond 65504, where f16 ends: pass the option dtype: "f32"`);
  },

  checkOutputs(inputs, outputs) {
    const bad = Object.entries(outputs).find(([, { data }]) => !allFinite(data))?.[0];
    if (bad === undefined || inputs.some((input) => input instanceof Float32Array && !allFinite(input))) return;
    throw new GpuError(
      "OVERFLOW",
      `${bad} has infinite values or NaN: somewhere the net goes beyond 65504, where f16 ends (or its weights have NaN). ` +
        `Pass the option dtype: "f32"; ask for features, layer by layer, to see where it happens`,
    );
  },
};
