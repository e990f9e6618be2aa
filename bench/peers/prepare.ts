// Writes the files of one net for bench:peers, in a process of its own that gives its memory back: random weights, the
// same in every run, as safetensors, and the net with them as an ONNX model.
import { createWriteStream, writeFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { findNet } from "../../engine/definition.ts";
import { encodeSafetensors, exportOnnx, nets, type Tensor } from "../../index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import type { NetFiles } from "./engines.ts";

try {
  const { net, shape, weights, model }: NetFiles = JSON.parse(process.argv[2]);
  const checkpoint = randomWeights(findNet(nets, net));
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of checkpoint.tensors) tensors.set(name, { shape, data: await checkpoint.read(name) });
  writeFileSync(weights, encodeSafetensors(tensors));
  await pipeline(exportOnnx(net, { weights, batch: shape[0] }), createWriteStream(model));
  writeFileSync(3, "{}\n");
} catch (error) {
  writeFileSync(3, `${JSON.stringify({ error: (error as Error).message })}\n`);
  process.exitCode = 1;
}
