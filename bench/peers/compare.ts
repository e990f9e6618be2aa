import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileError } from "../../engine/ground/errors.ts";
import { median } from "../../engine/ground/statistics.ts";
import { oneLine } from "../../tools/format.ts";
import { type Contender, type EngineName, type Job, type NetFiles, nameOf } from "./engines.ts";
import type { FirstRun, Turn } from "./measure.ts";
import type { Prepared, Wanted } from "./prepare.ts";
import { WorkerProcess } from "./process.ts";
import { type Agreement, agreements, type Effort, LOGITS, LOSSES, progressOf, rotated } from "./results.ts";

/** Where a contender runs: it answers with its first run, and with a turn whenever it is asked. */
export interface Place {
  answer(): Promise<FirstRun>;
  ask(): Promise<Turn>;
  stop(): Promise<void>;
}

/** A net and what is done with it. */
export type NetJob = Pick<NetFiles, "net" | "shape" | "training" | "onnx">;

/** What does not depend on the net. */
export interface Setting extends Effort, Pick<Job, "maxBinding" | "software"> {
  readonly contenders: readonly Contender[];
  /** The folder for files of nets. */
  readonly folder: string;
  /** Where contenders find what is in it. */
  readonly base: string;
  /** Seconds after which a contender that does not answer is given up. */
  readonly timeout: number;
  /** Starts a contender in a new process. */
  start(job: Job): Place;
  readonly signal: AbortSignal;
}

/** What was measured of a contender with a net. */
export interface Measured extends Agreement {
  readonly contender: Contender;
  readonly coldMs: number | null;
  /** Milliseconds of each run. */
  readonly times: readonly number[];
}

interface Entrant {
  readonly contender: Contender;
  place?: Place;
  /** Milliseconds of each cold start. */
  colds: number[];
  outputs?: readonly number[];
  agreement: Agreement;
  times: number[];
}

/**
 * Measures a net in every engine: first results one after the other, each in a new process, of which the last ones stay;
 * then, of those whose logits or losses agree, runs in turn. An engine that fails is left out from there on, and its error told.
 */
export async function compareNet(
  net: NetJob,
  setting: Setting,
  onProgress: (share: number) => void,
): Promise<Measured[]> {
  const written = filesIn((name) => join(setting.folder, name));
  const entrants = setting.contenders.map(
    (contender): Entrant => ({ contender, colds: [], agreement: { agreesWith: null }, times: [] }),
  );
  try {
    const failed = net.onnx ? {} : await prepare({ ...net, ...written }, setting);
    for (const entrant of entrants) {
      const error = failed[entrant.contender.engine];
      if (error) entrant.agreement = { agreesWith: null, error };
    }
    const files = { ...net, ...filesIn((name) => `${setting.base}/${name}`) };
    await startCold(entrants, files, setting, (share) => onProgress(0.5 * share));
    compareOutputs(entrants, net.training ? LOSSES : LOGITS);
    await takeTurns(entrants, setting, (share) => onProgress(0.5 + 0.5 * share));
    return entrants.map(({ contender, colds, times, agreement }) => {
      return { contender, coldMs: colds.length > 0 ? median(colds) : null, times, ...agreement };
    });
  } finally {
    await Promise.all(entrants.map(({ place }) => place?.stop()));
    for (const file of Object.values(written)) await rm(file, { force: true });
  }
}

export const filesIn = (at: (name: string) => string): Omit<NetFiles, keyof NetJob> => ({
  weights: at("weights.safetensors"),
  model: at("model.onnx"),
  tflite: at("model.tflite"),
  batch: at("batch.safetensors"),
});

/** Writes a net's files. What an engine's own model cannot say is an error of that engine. */
async function prepare(
  files: NetFiles,
  { contenders, maxBinding, timeout, signal }: Setting,
): Promise<Readonly<Partial<Record<EngineName, string>>>> {
  const wanted: Wanted = { ...files, maxBinding, engines: contenders.map(({ engine }) => engine) };
  const process = new WorkerProcess(new URL("./prepare.js", import.meta.url), wanted, { timeout, signal });
  try {
    return (await process.answer<Prepared>()).failed;
  } catch (cause) {
    signal.throwIfAborted();
    const told = `cannot write the files of ${files.net} into ${dirname(files.weights)}`;
    throw new FileError(`${told}: ${(cause as Error).message}; TMPDIR sets another folder`, { cause });
  } finally {
    await process.stop();
  }
}

/** Starts the contenders, as often as is wanted, and waits for the first results of each. */
async function startCold(
  entrants: readonly Entrant[],
  files: NetFiles,
  setting: Setting,
  onProgress: (share: number) => void,
): Promise<void> {
  const { cold, maxBinding, software, signal } = setting;
  for (let round = 0; round < cold; round++) {
    for (const [i, entrant] of rotated(entrants, round).entries()) {
      onProgress((round + i / entrants.length) / cold);
      if (entrant.agreement.error) continue;
      await attempt(entrant, signal, async () => {
        await entrant.place?.stop();
        entrant.place = setting.start({ ...entrant.contender, ...files, maxBinding, software });
        const { coldMs, outputs } = await entrant.place.answer();
        entrant.colds.push(coldMs);
        entrant.outputs = outputs;
      });
    }
  }
}

/** Leaves an entrant out, with the reason, when something of it fails; only an abort is thrown. */
async function attempt(entrant: Entrant, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    signal.throwIfAborted();
    entrant.agreement = { agreesWith: null, error: oneLine((error as Error).message.split("\n")[0]) };
    entrant.times = [];
    entrant.outputs = undefined;
    await entrant.place?.stop();
  }
}

/** What does not compute on WebGPU is compared with first: it has the least in common with the others. */
function compareOutputs(entrants: readonly Entrant[], kind: typeof LOGITS): void {
  const first = ({ contender }: Entrant) => (contender.provider === "webgpu" ? 1 : 0);
  const outputs = new Map<string, readonly number[]>();
  for (const { contender, outputs: own } of [...entrants].sort((a, b) => first(a) - first(b))) {
    if (own) outputs.set(nameOf(contender), own);
  }
  const found = agreements(outputs, kind);
  for (const entrant of entrants) entrant.agreement = found.get(nameOf(entrant.contender)) ?? entrant.agreement;
}

async function takeTurns(
  entrants: readonly Entrant[],
  { signal, ...effort }: Setting,
  onProgress: (share: number) => void,
): Promise<void> {
  for (let turn = 0; ; turn++) {
    const running = entrants.filter(({ agreement }) => !agreement.error);
    const times = running.map((entrant) => entrant.times);
    const share = progressOf(turn, times, effort);
    onProgress(share);
    if (share === 1) return;
    for (const entrant of rotated(running, turn)) {
      await attempt(entrant, signal, async () => {
        const answer = await entrant.place?.ask();
        entrant.times.push(...(answer?.times ?? []));
      });
    }
  }
}
