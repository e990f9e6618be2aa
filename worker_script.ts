// What runs in the worker of openWorkerGpu(): the whole library, and the roofline of the device.
import { openGpu, serveGpu } from "./browser.ts";

serveGpu(openGpu, {
  roofline: async ({ gpu }) => (await import("./tools/roofline.ts")).measureRoofline(gpu),
});
