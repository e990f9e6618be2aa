// The library in a browser: no Node module and no native package anywhere below this file.
import type { AdapterKind } from "./engine/device/device.ts";
import type { Host } from "./engine/device/host.ts";
import { type Gpu, type OpenOptions, openGpu as open } from "./engine/gpu.ts";
import type { Graph, Node } from "./engine/graph/graph.ts";
import type { AnyVariant, Variants } from "./engine/graph/variant.ts";
import { checkObject } from "./engine/ground/errors.ts";
import type { tune as tuneNow } from "./engine/tuning/tune.ts";
import { browserHost } from "./engine/web/host.ts";
import type { Conv2dOptions } from "./kernels/conv2d/geometry.ts";
import { rates } from "./kernels/rates.ts";
import { wgslHash } from "./kernels/wgsl_hash.ts";
import { families } from "./nets/families.ts";

export * from "./core.ts";
export type { Timed, Tuned, TuneOptions } from "./engine/tuning/tune.ts";
export { type Context, type Method, serveGpu } from "./engine/worker/server.ts";
export { rates } from "./kernels/rates.ts";
export { variants } from "./kernels/variants.ts";
export { nets } from "./nets/index.ts";

/** Fast kernels that few nets need: of which operator, for what groups and channels, and the module, which has nothing else. */
const RARE: readonly (readonly [string, (groups: number, channels: number) => boolean, () => Promise<object>])[] = [
  ["conv2d", (groups, channels) => groups === channels, () => import("./kernels/conv2d/variants_depthwise.ts")],
  [
    "conv2d",
    (groups, channels) => groups > 1 && groups !== channels,
    () => import("./kernels/conv2d/variants_grouped.ts"),
  ],
  ["concat", () => true, () => import("./kernels/layout/join.ts")],
];

/** Those of them that some graph has needed, by what loads them. */
const loaded = new Map<object, AnyVariant>();

/** The fast kernels that an adapter can use, and those that few nets need, if a graph does. */
async function variantsFor({ software, subgroupSize, matrices }: AdapterKind, graph?: Graph): Promise<Variants> {
  const { variants } = await (software
    ? subgroupSize === 4
      ? import("./kernels/variants_broadcast.ts")
      : import("./kernels/variants_software.ts")
    : matrices
      ? import("./kernels/variants_matrices.ts")
      : import("./kernels/variants_gpu.ts"));
  const all: Record<string, readonly AnyVariant[]> = { ...variants };
  for (const [operator, isFor, load] of RARE) {
    const wants = (node: Node) =>
      node.kind === "op" &&
      node.kernel.name === operator &&
      isFor((node.options as Conv2dOptions).groups, node.shape[1]);
    if (graph?.nodes.some(wants)) loaded.set(load, Object.values(await load())[0]);
    const variant = loaded.get(load);
    if (variant) all[operator] = [variant, ...(all[operator] ?? [])];
  }
  return all;
}

/**
 * Opens the browser's GPU. loadNet() knows every net by name; a family of nets is loaded when it is asked for, and of the
 * fast kernels those that the adapter can use. `openGpu({ nets, variants })` has them all at once. See engine/gpu.ts.
 */
export async function openGpu(options: OpenOptions = {}, host: Host = browserHost): Promise<Gpu> {
  checkObject("openGpu(): options", options);
  // What any family needs, meanwhile; whoever asks for one hears of a failure.
  if (!options.nets) import("./nets/common.ts").catch(() => {});
  return open(
    {
      nets: families,
      variants: variantsFor,
      rates,
      kernelHash: wgslHash,
      training: () => import("./kernels/training/table.ts"),
      onnx: () => import("./onnx.ts"),
      ...options,
    },
    host,
  );
}

/** Measures which kernels are fastest for a net on this GPU, and keeps it in IndexedDB. See engine/tuning/tune.ts. */
export const tune: typeof tuneNow = async (...given) => (await import("./engine/tuning/tune.ts")).tune(...given);
