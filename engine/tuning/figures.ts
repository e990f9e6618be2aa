import { type AnyNet, inputShape, type LoadOptions } from "../definition.ts";
import type { AdapterSummary } from "../device/device.ts";
import type { Gpu } from "../gpu.ts";
import { GpuError } from "../ground/errors.ts";
import type { Dtype } from "../ground/options.ts";
import { median } from "../ground/statistics.ts";
import { sizeOf, type Tensor } from "../ground/tensor.ts";
import { largestError, plainLogits, problemOf } from "./agreement.ts";

// Figures of nets on an adapter, as anyone can measure and send them: `shadenet bench` and the page's view "Time" make the
// same file.

/** What tells a file of figures from others. */
export const FORMAT = "shadenet figures";

/** Grows when a reader of older files would misread newer ones. */
export const VERSION = 1;

/** A net with random weights. Times are in milliseconds. */
export interface NetFigures {
  readonly net: string;
  /** Images per run. */
  readonly batch: number;
  readonly dtype: Dtype;
  /** From the images in memory to the logits in memory, when all is warm: of so many runs. */
  readonly medianMs: number;
  readonly fastestMs: number;
  readonly runs: number;
  /** From loadNet() to the first logits on a device that was just opened; the driver may remember what it compiled earlier. */
  readonly coldMs?: number;
  /**
   * The largest difference of the logits from those of the plain kernels in float32, over the rms of these: 0 for a small net
   * that takes the plain ones itself.
   */
  readonly agreement: number;
}

/** A net that was not measured, and why. */
export interface Failure extends Pick<NetFigures, "net" | "batch" | "dtype"> {
  readonly reason: string;
}

/** Where the figures come from, as far as the program knows it. */
export interface Surroundings {
  /** The version of shadenet. */
  readonly shadenet: string;
  /** The browser or Node, with its version. */
  readonly runtime: string;
  readonly os: string;
  /** What WebGPU is built on, such as "vulkan"; "" where nobody tells. */
  readonly backend: string;
}

export interface Source extends Surroundings {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  /** ISO 8601. */
  readonly date: string;
  readonly adapter: Pick<AdapterSummary, "vendor" | "architecture" | "device" | "description" | "software">;
  /** With its version; "" where the adapter does not tell. */
  readonly driver: string;
}

export interface Figures extends Source {
  readonly nets: readonly NetFigures[];
  readonly failed: readonly Failure[];
}

export interface FiguresOptions extends Pick<LoadOptions, "weights" | "signal"> {
  readonly batch?: number;
  readonly dtype?: Dtype;
  /** Runs to take the median of. */
  readonly runs?: number;
  /** Whether the device has run nothing before. */
  readonly isCold?: boolean;
}

/** After so many milliseconds there are no more runs, once there are three. */
const BUDGET_MS = 10_000;
const FEWEST = 3;

/**
 * Times a net, and checks it against its plain kernels. Throws what loadNet() and run() throw, and a GpuError (GPU) where the
 * logits are others than theirs. `coldMs` is left out unless the device was just opened.
 */
export async function measureNet(
  gpu: Gpu,
  definition: AnyNet,
  { weights, batch = 1, dtype = "f32", runs = 10, isCold = false, signal }: FiguresOptions,
): Promise<NetFigures> {
  const images = noise(sizeOf(inputShape(definition, { batch })));
  const start = performance.now();
  const net = await gpu.loadNet(definition, { weights, batch, dtype, signal });
  const times: number[] = [];
  let logits: Tensor;
  let coldMs: number;
  try {
    ({ logits } = await net.run(images, { signal }));
    coldMs = performance.now() - start;
    const end = performance.now() + BUDGET_MS;
    while (times.length < runs && (times.length < FEWEST || performance.now() < end)) {
      const before = performance.now();
      await net.run(images, { signal });
      times.push(performance.now() - before);
    }
  } finally {
    net.dispose();
  }
  const agreement = largestError(
    logits,
    await plainLogits(gpu, definition, { weights, images, of: [0, batch - 1], signal }),
  );
  const problem = problemOf(agreement, dtype);
  if (problem) throw new GpuError("GPU", `${definition.name} is wrong on this adapter: ${problem}`);
  return {
    net: definition.name,
    batch,
    dtype,
    medianMs: median(times),
    fastestMs: Math.min(...times),
    runs: times.length,
    ...(isCold && { coldMs }),
    agreement,
  };
}

/** Numbers from -1 to 1 that are the same on every machine (the generator of Numerical Recipes, 2007, 7.1.5). */
function noise(count: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
}

/** What Chromium tells of adapters to developers. */
type Told = Partial<GPUAdapterInfo & Readonly<Record<"backend" | "driver", string>>>;

/** What a file of figures that are measured now says of their device. */
export function sourceOf({ adapter, device }: Gpu, about: Surroundings): Source {
  const { vendor, architecture, device: name, description, software } = adapter;
  const told: Told = device.adapterInfo ?? {};
  return {
    format: FORMAT,
    version: VERSION,
    date: new Date().toISOString(),
    ...about,
    backend: told.backend || about.backend,
    adapter: { vendor, architecture, device: name, description, software },
    // Dawn describes an adapter by its driver.
    driver: told.driver || description,
  };
}

/** JSON for a file. Six digits are more than a clock tells. */
export function encodeJson(value: unknown): string {
  const round = (_key: string, each: unknown) =>
    typeof each === "number" && !Number.isInteger(each) ? Number(each.toPrecision(6)) : each;
  return `${JSON.stringify(value, round, 1)}\n`;
}
