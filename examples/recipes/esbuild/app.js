import weights from "shadenet/lenet5.safetensors"; // its address
import { openWorkerGpu } from "shadenet/worker";

const gpu = await openWorkerGpu();
const net = await gpu.loadNet("lenet5", { weights });
const digit = await (await fetch("/digit.png")).blob();
const [{ label }] = await net.classify(digit);
document.querySelector("output").textContent = label;
gpu.close();
