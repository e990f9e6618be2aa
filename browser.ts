// The library in a browser: no Node module and no native package anywhere below this file.
import { type Gpu, type OpenOptions, openGpu as open } from "./engine/gpu.ts";
import { variants } from "./kernels/variants.ts";
import { nets } from "./nets/index.ts";

export * from "./core.ts";
export { variants } from "./kernels/variants.ts";
export { nets } from "./nets/index.ts";

/** Opens the browser's GPU; loadNet() knows every net by name. See engine/gpu.ts. */
export const openGpu = (options: OpenOptions = {}): Promise<Gpu> => open({ nets, variants, ...options });
