import { openGpu, type Prediction } from "shadenet";
import { openWorkerGpu } from "shadenet/worker";

/** The likeliest classes of a picture. */
export async function classify(picture: Blob): Promise<Prediction[]> {
  const gpu = "document" in globalThis ? await openWorkerGpu() : await openGpu({ powerPreference: "low-power" });
  try {
    const net = await gpu.loadNet("lenet5");
    return await net.classify(picture, { top: 3 });
  } finally {
    gpu.close();
  }
}
