// What runs in the worker of openWorkerGpu(): the whole library, and the roofline of the device.
import { openGpu, serveGpu } from "./browser.ts";

serveGpu(openGpu, {
  roofline: async ({ gpu }) => {
    const [{ measureRoofline }, { probes }] = await Promise.all([
      import("./engine/tuning/roofline.ts"),
      import("./kernels/probes.ts"),
    ]);
    return measureRoofline(gpu, probes);
  },
});
