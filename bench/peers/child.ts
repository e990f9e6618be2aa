// One contender in a process of its own. It is given its job as an argument, tells the first logits or losses and how long
// they took on file descriptor 3, and then takes a turn for every byte that it reads from stdin. While it waits
// it is blocked in that read, so that nothing of it, least of all Dawn's polling, takes time from the others.
import { readSync, writeFileSync } from "node:fs";
import type { EngineName, Job, Open } from "./engines.ts";
import { inNode } from "./host_node.ts";
import { type FirstRun, runFirst, runTurn, type Turn } from "./measure.ts";

type Loaders = Readonly<Partial<Record<EngineName, () => Promise<{ open: Open }>>>>;

const RUN: Loaders = {
  shadenet: () => import("./shadenet.ts"),
  onnxruntime: () => import("./onnxruntime.ts"),
  tfjs: () => import("./tfjs.ts"),
  "jax-js": () => import("./jax_js.ts"),
};

const TRAIN: Loaders = {
  shadenet: () => import("./training/shadenet.ts"),
  tfjs: () => import("./training/tfjs.ts"),
  "jax-js": () => import("./training/jax_js.ts"),
};

const tell = (answer: FirstRun | Turn | { error: string }): void => writeFileSync(3, `${JSON.stringify(answer)}\n`);

const fail = (error: unknown): never => {
  tell({ error: error instanceof Error ? error.message : String(error) });
  process.exit(1);
};
process.on("uncaughtException", fail);

try {
  const job: Job = JSON.parse(process.argv[2]);
  const load = (job.training ? TRAIN : RUN)[job.engine];
  if (!load) throw new Error(`there is no ${job.engine} here`);
  const { run, first } = await runFirst(load, job, inNode);
  tell(first);
  const command = new Uint8Array(1);
  while (readSync(0, command) > 0) tell(await runTurn(run));
  process.exit(0);
} catch (error) {
  fail(error);
}
