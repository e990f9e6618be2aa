import { availableParallelism } from "node:os";
import { nodeHost } from "../../engine/node/dawn.ts";

/** Errors of the device that the engine did not ask for: its results are garbage from then on. */
const uncaptured: string[] = [];

/**
 * Gives Node what an engine made for browsers wants: navigator.gpu, with the adapter that shadenet itself takes (the
 * same Dawn, the same driver, the same SHADENET_ADAPTER), and WebGPU's constants and classes as globals.
 */
export async function provideWebGpu(): Promise<void> {
  const { globals } = (await import("webgpu")) as { globals: object };
  Object.assign(globalThis, globals);
  const navigator = { gpu: { requestAdapter }, userAgent: "Node", hardwareConcurrency: availableParallelism() };
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
}

async function requestAdapter(options: GPURequestAdapterOptions = {}): Promise<GPUAdapter | null> {
  for (const provider of nodeHost.providers()) {
    const adapter = await provider.requestAdapter(options);
    if (adapter) return watched(adapter);
  }
  return null;
}

/** The adapter, whose devices tell their errors here, too. */
function watched(adapter: GPUAdapter): GPUAdapter {
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (descriptor) => {
    const device = await requestDevice(descriptor);
    device.addEventListener("uncapturederror", ({ error }) => uncaptured.push(error.message.split("\n")[0]));
    return device;
  };
  return adapter;
}

/**
 * Waits for logits as shadenet does: without polling, which would take a core from a software adapter and which no
 * browser does. Throws if the device has reported an error since.
 */
export async function readBack<T>(logits: Promise<T>, software: boolean): Promise<T> {
  const values = await (software && nodeHost.settle ? nodeHost.settle(logits) : logits);
  if (uncaptured.length > 0) throw new Error(uncaptured[0]);
  return values;
}
