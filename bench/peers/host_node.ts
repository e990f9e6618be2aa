import { availableParallelism } from "node:os";
import { nodeHost } from "../../engine/node/dawn.ts";
import { fileSource } from "../../engine/node/files.ts";
import { type Host, unlessFailed, watched } from "./host.ts";
import { requirePeer } from "./packages.ts";

export const inNode: Host = {
  loadShadenet: () => import("../../index.ts"),
  load: async (name) => requirePeer(name),
  openFile: fileSource,

  /**
   * Gives Node what an engine made for browsers wants: navigator.gpu, with the adapter that shadenet itself takes (the same
   * Dawn, the same driver, the same SHADENET_ADAPTER), and WebGPU's constants and classes as globals.
   */
  async provideWebGpu() {
    const { globals } = (await import("webgpu")) as { globals: object };
    Object.assign(globalThis, globals);
    const navigator = { gpu: { requestAdapter }, userAgent: "Node", hardwareConcurrency: availableParallelism() };
    Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  },

  /**
   * Waits as shadenet does: without polling, which would take a core from a software adapter and which no browser does.
   */
  readBack: (logits, software) => unlessFailed(software && nodeHost.settle ? nodeHost.settle(logits) : logits),
};

async function requestAdapter(options: GPURequestAdapterOptions = {}): Promise<GPUAdapter | null> {
  for (const provider of nodeHost.providers()) {
    const adapter = await provider.requestAdapter(options);
    if (adapter) return watched(adapter);
  }
  return null;
}
