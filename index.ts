// The library in Node.
import { type Gpu, type OpenOptions, openGpu as open } from "./engine/gpu.ts";
import { nodeHost } from "./engine/node/dawn.ts";
import { variants } from "./kernels/variants.ts";
import { nets } from "./nets/index.ts";

export * from "./core.ts";
export { decodeImage, readImage } from "./engine/node/decode.ts";
export { fileSource } from "./engine/node/files.ts";
export { variants } from "./kernels/variants.ts";
export { nets } from "./nets/index.ts";

/** Opens the best adapter: the system's GPU, else a software one. loadNet() knows every net by name. See engine/gpu.ts. */
export const openGpu = (options: OpenOptions = {}): Promise<Gpu> => open({ nets, variants, ...options }, nodeHost);
