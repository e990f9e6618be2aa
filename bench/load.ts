import { statSync } from "node:fs";
import { Command } from "commander";
import { openGpu } from "../index.ts";

// npm run bench:load -- NET FILE: how long loading a checkpoint takes, and how much memory at most.

const { args } = new Command("load")
  .description("Loads a net and prints the time and the largest resident memory of the process.")
  .argument("<net>", "its name")
  .argument("<file>", "a .safetensors or .pth file")
  .parse();
const [name, weights] = args;

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
/** The process's largest resident memory so far, in bytes. */
const peak = () => process.resourceUsage().maxRSS * 1024;

const gpu = await openGpu();
try {
  const before = peak();
  const start = performance.now();
  const net = await gpu.loadNet(name, { weights });
  const seconds = (performance.now() - start) / 1000;
  console.log(`${name} from ${weights} (${mb(statSync(weights).size)}) on ${gpu.adapter.name}`);
  console.log(`time to load       ${seconds.toFixed(2)} s`);
  console.log(
    `on the GPU         ${mb(gpu.alive.bytes)}${gpu.adapter.software ? ", which is resident memory, too" : ""}`,
  );
  console.log(`peak RSS           ${mb(peak())}, of which ${mb(before)} before loading`);
  net.dispose();
} finally {
  gpu.close();
}
