import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FileError } from "../../engine/ground/errors.ts";
import { median } from "../../engine/ground/statistics.ts";
import type { FirstRun, Turn } from "./child.ts";
import { type Contender, type Job, type NetFiles, nameOf } from "./engines.ts";
import { WorkerProcess } from "./process.ts";
import { type Agreement, agreements, type Effort, progressOf, rotated } from "./results.ts";

/** What does not depend on the net. */
export interface Setting extends Effort, Pick<Job, "maxBinding" | "software"> {
  readonly contenders: readonly Contender[];
  /** Seconds after which a process that does not answer is given up. */
  readonly timeout: number;
  /** Environment for a contender's process. */
  env(contender: Contender): Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** What was measured of a contender with a net. */
export interface Measured extends Agreement {
  readonly contender: Contender;
  readonly coldMs: number | null;
  /** Milliseconds of each run. */
  readonly times: readonly number[];
}

/** Switches off the caches that drivers keep of compiled shaders, Mesa's and NVIDIA's, and ONNX Runtime's telemetry. */
const ENVIRONMENT = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0", ORT_DISABLE_TELEMETRY: "1" };

interface Entrant {
  readonly contender: Contender;
  process?: WorkerProcess;
  /** Milliseconds of each cold start. */
  colds: number[];
  logits?: readonly number[];
  agreement: Agreement;
  times: number[];
}

/**
 * Measures a net in every engine: first results one after the other, each in a new process, of which the last ones stay;
 * then, of those whose logits agree, runs in turn. An engine that fails is left out from there on, and its error told.
 */
export async function compareNet(
  net: Pick<NetFiles, "net" | "shape">,
  folder: string,
  setting: Setting,
  onProgress: (share: number) => void,
): Promise<Measured[]> {
  const files = { ...net, weights: join(folder, "weights.safetensors"), model: join(folder, "model.onnx") };
  const entrants = setting.contenders.map(
    (contender): Entrant => ({ contender, colds: [], agreement: { agreesWith: null }, times: [] }),
  );
  try {
    await prepare(files, setting);
    await startCold(entrants, files, setting, (share) => onProgress(0.5 * share));
    compareLogits(entrants);
    await takeTurns(entrants, setting, (share) => onProgress(0.5 + 0.5 * share));
    return entrants.map(({ contender, colds, times, agreement }) => {
      return { contender, coldMs: colds.length > 0 ? median(colds) : null, times, ...agreement };
    });
  } finally {
    await Promise.all(entrants.map(({ process }) => process?.stop()));
    for (const file of [files.weights, files.model]) await rm(file, { force: true });
  }
}

async function prepare(files: NetFiles, { timeout, signal }: Setting): Promise<void> {
  const process = new WorkerProcess(new URL("./prepare.js", import.meta.url), files, { timeout, signal });
  try {
    await process.answer();
  } catch (cause) {
    signal.throwIfAborted();
    const told = `cannot write the files of ${files.net} into ${dirname(files.weights)}`;
    throw new FileError(`${told}: ${(cause as Error).message}; TMPDIR sets another folder`, { cause });
  } finally {
    await process.stop();
  }
}

/** Starts the contenders' processes, as often as is wanted, and waits for the first logits of each. */
async function startCold(
  entrants: readonly Entrant[],
  files: NetFiles,
  setting: Setting,
  onProgress: (share: number) => void,
): Promise<void> {
  const { cold, maxBinding, software, timeout, signal } = setting;
  for (let round = 0; round < cold; round++) {
    for (const [i, entrant] of rotated(entrants, round).entries()) {
      onProgress((round + i / entrants.length) / cold);
      if (entrant.agreement.error) continue;
      const { contender } = entrant;
      const job: Job = { ...contender, ...files, maxBinding, software };
      const env = { ...ENVIRONMENT, ...setting.env(contender) };
      await attempt(entrant, signal, async () => {
        await entrant.process?.stop();
        entrant.process = new WorkerProcess(new URL("./child.js", import.meta.url), job, { env, timeout, signal });
        const { coldMs, logits } = await entrant.process.answer<FirstRun>();
        entrant.colds.push(coldMs);
        entrant.logits = logits;
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
    entrant.agreement = { agreesWith: null, error: (error as Error).message };
    entrant.times = [];
    entrant.logits = undefined;
    await entrant.process?.stop();
  }
}

/** ONNX Runtime on the CPU is compared with first: it has the least in common with the others. */
function compareLogits(entrants: readonly Entrant[]): void {
  const first = ({ contender }: Entrant) => (contender.provider === "cpu" ? 0 : 1);
  const outputs = new Map<string, readonly number[]>();
  for (const { contender, logits } of [...entrants].sort((a, b) => first(a) - first(b))) {
    if (logits) outputs.set(nameOf(contender), logits);
  }
  const found = agreements(outputs);
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
        const answer = await entrant.process?.ask<Turn>();
        entrant.times.push(...(answer?.times ?? []));
      });
    }
  }
}
