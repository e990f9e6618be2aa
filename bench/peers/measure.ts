import type { Job, Open, Run } from "./engines.ts";
import type { Host } from "./host.ts";
import { randomInput } from "./input.ts";

export interface FirstRun {
  /** From before the engine is imported to the logits, or the first loss, in memory. */
  readonly coldMs: number;
  /** The logits, or the losses of the first steps. */
  readonly outputs: readonly number[];
}

export interface Turn {
  /** Milliseconds of each run. */
  readonly times: readonly number[];
}

/** Milliseconds that a turn takes at least. */
const TURN = 300;

/** Lets threads that still spin, and callbacks that are still to come, end before the next contender runs. */
const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

/** Imports an engine, opens it and runs it once, or trains for the steps that are compared. */
export async function runFirst(
  load: () => Promise<{ open: Open }>,
  job: Job,
  host: Host,
): Promise<{ run: Run; first: FirstRun }> {
  const input = randomInput(job.shape);
  const start = performance.now();
  const { open } = await load();
  const run = await open(job, input, host);
  const outputs = Array.from(await run());
  const coldMs = performance.now() - start;
  for (let step = 1; step < (job.training?.steps ?? 1); step++) outputs.push(...Array.from(await run()));
  await rest();
  return { run, first: { coldMs, outputs } };
}

/** Runs for a while when all is warm. */
export async function runTurn(run: Run): Promise<Turn> {
  // Brings back what the others pushed out of the caches.
  await run();
  const times: number[] = [];
  for (let began = performance.now(), end = began; end - began < TURN; ) {
    const begin = performance.now();
    await run();
    end = performance.now();
    times.push(end - begin);
  }
  await rest();
  return { times };
}
