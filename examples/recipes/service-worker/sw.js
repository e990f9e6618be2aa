import { openGpu } from "shadenet";
import weights from "shadenet/lenet5.safetensors"; // its bytes, in the bundle

addEventListener("message", (event) => event.waitUntil(answer(event.data, event.source)));

async function answer(picture, page) {
  try {
    const gpu = await openGpu();
    const net = await gpu.loadNet("lenet5", { weights });
    const [{ label }] = await net.classify(picture);
    gpu.close();
    page.postMessage(label);
  } catch (error) {
    // Not every browser has WebGPU there: the code is NO_ADAPTER then.
    page.postMessage(`${error.code}: ${error.message}`);
  }
}
