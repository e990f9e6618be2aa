// node first_result.js NET WEIGHTS: loads a net and runs it once, and says so as soon as the logits are there. Started by
// bench:nets, which takes the time.
import { openGpu } from "../../index.ts";

const [name, weights] = process.argv.slice(2);
const gpu = await openGpu();
try {
  const net = await gpu.loadNet(name, { weights });
  const size = net.inputShape.reduce((product, each) => product * each, 1);
  const { logits } = await net.run(new Float32Array(size).fill(0.5));
  process.stdout.write(`${logits.data[0]}\n`);
  net.dispose();
} finally {
  gpu.close();
}
