import { blobSource } from "../../engine/weights/sources.ts";
import { type Host, unlessFailed, watched } from "./host.ts";

export const inPage: Host = {
  loadShadenet: () => import("../../browser.ts"),
  // Where a package is, the page's import map says.
  load: (name) => import(name),
  openFile: async (location) => blobSource(await (await fetch(location)).blob(), location),

  async provideWebGpu() {
    const { gpu } = navigator;
    const requestAdapter = gpu.requestAdapter.bind(gpu);
    gpu.requestAdapter = async (options) => {
      const adapter = await requestAdapter(options);
      return adapter && watched(adapter);
    };
  },

  readBack: unlessFailed,
};
