// One contender of bench:peers in a process of its own. It is given its job as an argument, tells the first logits and
// how long they took on file descriptor 3, and then takes a turn for every byte that it reads from stdin. While it waits
// it is blocked in that read, so that nothing of it, least of all Dawn's polling, takes time from the others.
import { readSync, writeFileSync } from "node:fs";
import type { EngineName, Job, Open } from "./engines.ts";
import { randomInput } from "./input.ts";

export interface FirstRun {
  /** From before the engine is imported to the logits in memory. */
  readonly coldMs: number;
  readonly logits: readonly number[];
}

export interface Turn {
  /** Milliseconds of each run. */
  readonly times: readonly number[];
}

/** Milliseconds that a turn takes at least. */
const TURN = 300;

const OPEN: Readonly<Record<EngineName, () => Promise<{ open: Open }>>> = {
  shadenet: () => import("./shadenet.ts"),
  onnxruntime: () => import("./onnxruntime.ts"),
  tfjs: () => import("./tfjs.ts"),
  "jax-js": () => import("./jax_js.ts"),
};

const tell = (answer: FirstRun | Turn | { error: string }): void => writeFileSync(3, `${JSON.stringify(answer)}\n`);

/** Lets threads that still spin, and callbacks that are still to come, end before the next contender runs. */
const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

const fail = (error: unknown): never => {
  tell({ error: error instanceof Error ? error.message : String(error) });
  process.exit(1);
};
process.on("uncaughtException", fail);

try {
  const job: Job = JSON.parse(process.argv[2]);
  const input = randomInput(job.shape);
  const start = performance.now();
  const { open } = await OPEN[job.engine]();
  const run = await open(job, input);
  const logits = await run();
  const coldMs = performance.now() - start;
  await rest();
  tell({ coldMs, logits: Array.from(logits) });
  const command = new Uint8Array(1);
  while (readSync(0, command) > 0) {
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
    tell({ times });
  }
  process.exit(0);
} catch (error) {
  fail(error);
}
