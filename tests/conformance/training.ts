import type { Gpu } from "../../engine/gpu.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import type { OptimizerOptions } from "../../engine/training/trainer.ts";
import { nets } from "../../nets/index.ts";
import { generatedCheckpoint, generatedInput, type NetRecord, type NetsFile } from "../../tools/hashinit.ts";

// Runs whole trainings of PyTorch's again: every loss, the gradients of the first step, and what comes out at the end.

interface Norm {
  readonly rms: number;
  readonly rms_f32: number;
}

interface Run extends Pick<NetRecord, "net" | "options" | "tensors" | "input_block" | "input_scale_bits"> {
  readonly image_size: number;
  readonly channels: number;
  readonly batch: number;
  readonly steps: number;
  readonly optimizer: OptimizerOptions;
  /** A regular expression. */
  readonly trainable: string;
  readonly labels: readonly (readonly number[])[];
  readonly loss_f64: readonly number[];
  readonly f32_loss_err: number;
  readonly grads: Readonly<Record<string, Norm>>;
  readonly params: Readonly<Record<string, Norm>>;
}

export interface TrainingFile extends Pick<NetsFile, "seed" | "kinds"> {
  readonly runs: Readonly<Record<string, Run>>;
}

export interface TrainingResult {
  readonly run: string;
  readonly net: string;
  readonly status: "pass" | "fail" | "skip";
  /** The largest of a step, relative. */
  readonly lossErr: number | null;
  readonly limit: number;
  readonly message: string;
}

/** Trains a net as a run did, and compares. */
export async function runTraining(gpu: Gpu, file: TrainingFile, key: string): Promise<TrainingResult> {
  const run = file.runs[key];
  const { net, options, image_size: imageSize, channels, batch, optimizer, trainable } = run;
  const limit = Math.max(1e-5, 8 * run.f32_loss_err);
  const result = (status: TrainingResult["status"], message = "", lossErr: number | null = null) => ({
    run: key,
    net,
    status,
    lossErr,
    limit,
    message,
  });
  if (!Object.hasOwn(nets, net)) return result("skip", `there is no net ${net}`);
  const shape = [batch, channels, imageSize, imageSize];
  const weights = generatedCheckpoint(file, key, run);
  const given = { ...options, imageSize, batch, weights, optimizer, dropout: false, trainable: new RegExp(trainable) };
  try {
    const trainer = await gpu.train(nets[net as keyof typeof nets], given);
    try {
      let lossErr = 0;
      const wrong: string[] = [];
      for (let step = 0; step < run.steps; step++) {
        const x = generatedInput(file, key, { ...run, input_shape: shape }, `/${step}`);
        const { loss } = await trainer.step(x, run.labels[step]);
        lossErr = Math.max(lossErr, Math.abs(loss / run.loss_f64[step] - 1));
        if (step === 0) {
          const tensors = await trainer.tensors({ gradients: true });
          wrong.push(...differing(run.grads, (name) => tensors.get(`gradient.${name}`), "gradient of "));
        }
      }
      if (!(lossErr <= limit)) wrong.unshift(`a loss is off by ${lossErr.toExponential(2)}`);
      const tensors = await trainer.tensors();
      // What is frozen is not the trainer's; that it stays is shown by the losses.
      const trained = Object.entries(run.params).filter(([name]) => tensors.has(name) || name in run.grads);
      wrong.push(...differing(Object.fromEntries(trained), (name) => tensors.get(name), ""));
      return result(wrong.length === 0 ? "pass" : "fail", wrong.slice(0, 5).join("; "), lossErr);
    } finally {
      await trainer.dispose();
    }
  } catch (error) {
    return result("fail", (error as Error).message);
  }
}

/** The tensors whose rms is not what it should be; those that are next to nothing beside the largest are not asked for. */
function differing(
  wanted: Readonly<Record<string, Norm>>,
  tensor: (name: string) => Tensor | undefined,
  what: string,
): string[] {
  const largest = Math.max(...Object.values(wanted).map(({ rms }) => rms));
  return Object.entries(wanted).flatMap(([name, { rms, rms_f32 }]) => {
    if (rms < 1e-6 * largest) return [];
    const got = rmsOf(tensor(name)?.data ?? new Float32Array([NaN]));
    const limit = Math.max(8 * Math.abs(rms_f32 / rms - 1), 1e-4);
    return Math.abs(got / rms - 1) <= limit ? [] : [`the rms of the ${what}${name} is ${got}, wanted ${rms}`];
  });
}

const rmsOf = (data: Float32Array): number => Math.sqrt(data.reduce((sum, v) => sum + v * v, 0) / data.length);
