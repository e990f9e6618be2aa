import type { Host } from "../device/host.ts";

export const browserHost: Host = {
  providers: () => [{ requestAdapter: async (options) => globalThis.navigator?.gpu?.requestAdapter(options) }],
  advice:
    "use a browser with WebGPU (Chrome or Edge 113, Safari 26, Firefox 141 or later) on a page of https or localhost; " +
    "Chromium on Linux may need chrome://flags/#enable-unsafe-webgpu",
  // Loaded only where it is needed: weights may come from a file or a bundle.
  open: async (location, options) => (await import("./files.ts")).openUrl(location, options),
  storage: {
    read: async (name) => (await import("./storage.ts")).read(name),
    update: async (name, change) => (await import("./storage.ts")).update(name, change),
  },
};
