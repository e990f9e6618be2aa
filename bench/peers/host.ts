import type { ByteSource } from "../../engine/weights/checkpoint.ts";
import type { openGpu } from "../../index.ts";

/** What differs between Node and a page, for the engines that run in both. */
export interface Host {
  /** Loads shadenet as programs there do. */
  loadShadenet(): Promise<{ readonly openGpu: typeof openGpu }>;
  /** Loads a package of bench/peers. */
  load(name: string): Promise<unknown>;
  openFile(location: string): Promise<ByteSource>;
  /** Sees to it that there is a `navigator.gpu`, whose devices tell their errors to `readBack`. */
  provideWebGpu(): Promise<void>;
  /** Waits for logits. Throws if a device of `navigator.gpu` has reported an error since. */
  readBack<T>(logits: Promise<T>, software: boolean): Promise<T>;
}

/** Errors of a device that the engine did not ask for: its results are garbage from then on. */
const uncaptured: string[] = [];

/** The adapter, whose devices tell their errors here, too. */
export function watched(adapter: GPUAdapter): GPUAdapter {
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (descriptor) => {
    const device = await requestDevice(descriptor);
    device.addEventListener("uncapturederror", ({ error }) => uncaptured.push(error.message.split("\n")[0]));
    return device;
  };
  return adapter;
}

/** What a promise gives, unless a device has told an error since. */
export async function unlessFailed<T>(logits: Promise<T>): Promise<T> {
  const values = await logits;
  if (uncaptured.length > 0) throw new Error(uncaptured[0]);
  return values;
}
