// Writes the files of one net that engines are compared with, in a process of its own that gives its memory back: random weights, the
// same in every run, as safetensors, and the net with them as the models that the engines read.
import { createWriteStream, writeFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { findNet } from "../../engine/definition.ts";
import { fileSource } from "../../engine/node/files.ts";
import { encodeSafetensors, exportOnnx, nets, type Tensor } from "../../index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import type { EngineName, Job, NetFiles } from "./engines.ts";
import { randomInput, randomLabels } from "./input.ts";
import { requirePeer } from "./packages.ts";
import { encodeTflite, type Flatbuffers, recordTflite } from "./tflite.ts";

export interface Wanted extends NetFiles, Pick<Job, "maxBinding"> {
  readonly engines: readonly EngineName[];
}

export interface Prepared {
  /** Why engines have no model of the net. */
  readonly failed: Readonly<Partial<Record<EngineName, string>>>;
}

const tell = (answer: Prepared | { error: string }): void => writeFileSync(3, `${JSON.stringify(answer)}\n`);

try {
  const wanted: Wanted = JSON.parse(process.argv[2]);
  const { net, shape, training, weights, model, batch, engines } = wanted;
  const checkpoint = randomWeights(findNet(nets, net), training?.options);
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of checkpoint.tensors) tensors.set(name, { shape, data: await checkpoint.read(name) });
  writeFileSync(weights, encodeSafetensors(tensors));
  if (engines.includes("onnxruntime")) {
    await pipeline(exportOnnx(net, { weights, batch: shape[0] }), createWriteStream(model));
  }
  if (engines.includes("pytorch") && training) {
    const labels = Float32Array.from(randomLabels(shape[0], training.options.numClasses));
    const both = { x: randomInput(shape), labels: { shape: [labels.length], data: labels } };
    writeFileSync(batch, encodeSafetensors(new Map(Object.entries(both))));
  }
  tell({ failed: engines.includes("litert") ? await writeTflite(wanted) : {} });
} catch (error) {
  tell({ error: (error as Error).message });
  process.exitCode = 1;
}

async function writeTflite(wanted: Wanted): Promise<Prepared["failed"]> {
  try {
    const recorded = await recordTflite(wanted, await fileSource(wanted.weights));
    writeFileSync(wanted.tflite, encodeTflite(recorded, requirePeer("flatbuffers") as Flatbuffers));
    return {};
  } catch (error) {
    return { litert: (error as Error).message };
  }
}
