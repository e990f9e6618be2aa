// The library in a browser: no Node module and no native package anywhere below this file.
import { browserHost, type Gpu, type Host, type OpenOptions, openGpu as open } from "./engine/gpu.ts";
import type { tune as tuneNow } from "./engine/tuning/tune.ts";
import { rates } from "./kernels/rates.ts";
import { variants } from "./kernels/variants.ts";
import { wgslHash } from "./kernels/wgsl_hash.ts";
import { nets } from "./nets/index.ts";

export * from "./core.ts";
export type { Timed, Tuned, TuneOptions } from "./engine/tuning/tune.ts";
export { type Context, type Method, serveGpu } from "./engine/worker/server.ts";
export { rates } from "./kernels/rates.ts";
export { variants } from "./kernels/variants.ts";
export { nets } from "./nets/index.ts";

/** Opens the browser's GPU; loadNet() knows every net by name. See engine/gpu.ts. */
export const openGpu = (options: OpenOptions = {}, host: Host = browserHost): Promise<Gpu> =>
  open({ nets, variants, rates, kernelHash: wgslHash, ...options }, host);

/** Measures which kernels are fastest for a net on this GPU, and keeps it in IndexedDB. See engine/tune.ts. */
export const tune: typeof tuneNow = async (...given) => (await import("./engine/tuning/tune.ts")).tune(...given);
