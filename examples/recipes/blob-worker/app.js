import weights from "shadenet/lenet5.safetensors"; // its bytes, in the bundle
import { openWorkerGpu } from "shadenet/worker";
import script from "./build/worker.txt"; // the worker's script as a text

const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
const gpu = await openWorkerGpu({ worker });
const net = await gpu.loadNet("lenet5", { weights });
const digit = await (await fetch("digit.png")).blob();
const [{ label }] = await net.classify(digit);
document.querySelector("output").textContent = label;
gpu.close();
