import { openWorkerGpu } from "shadenet/worker";

const gpu = await openWorkerGpu();
const net = await gpu.loadNet("lenet5");
const digit = await (await fetch("/digit.png")).blob();
const [{ label }] = await net.classify(digit);
document.querySelector("output").textContent = label;
gpu.close();
