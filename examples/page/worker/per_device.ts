import type { Gpu } from "../../../engine/gpu.ts";

/** What is made on a device, and made again on the one that is opened after a loss. */
export function perDevice<T>(gpu: Gpu, make: () => T): () => T {
  let made: { readonly generation: number; readonly value: T } | undefined;
  return () => {
    const { generation } = gpu;
    if (made?.generation !== generation) made = { generation, value: make() };
    return made.value;
  };
}
