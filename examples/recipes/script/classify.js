import { openGpu } from "shadenet";
import weights from "shadenet/lenet5.safetensors"; // its bytes, in the bundle

/** The digit in a picture. */
export async function classify(picture) {
  const gpu = await openGpu();
  const net = await gpu.loadNet("lenet5", { weights });
  const [{ label }] = await net.classify(picture);
  gpu.close();
  return label;
}
