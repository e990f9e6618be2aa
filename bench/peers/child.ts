// One contender of bench:peers in a process of its own. It is given its job as an argument, tells the first logits and
// how long they took on file descriptor 3, and then takes a turn for every byte that it reads from stdin. While it waits
// it is blocked in that read, so that nothing of it, least of all Dawn's polling, takes time from the others.
import { readSync, writeFileSync } from "node:fs";
import type { EngineName, Job, Open } from "./engines.ts";
import { inNode } from "./host_node.ts";
import { type FirstRun, runFirst, runTurn, type Turn } from "./measure.ts";

const OPEN: Readonly<Record<Exclude<EngineName, "litert">, () => Promise<{ open: Open }>>> = {
  shadenet: () => import("./shadenet.ts"),
  onnxruntime: () => import("./onnxruntime.ts"),
  tfjs: () => import("./tfjs.ts"),
  "jax-js": () => import("./jax_js.ts"),
};

const tell = (answer: FirstRun | Turn | { error: string }): void => writeFileSync(3, `${JSON.stringify(answer)}\n`);

const fail = (error: unknown): never => {
  tell({ error: error instanceof Error ? error.message : String(error) });
  process.exit(1);
};
process.on("uncaughtException", fail);

try {
  const job: Job = JSON.parse(process.argv[2]);
  const { run, first } = await runFirst(OPEN[job.engine as keyof typeof OPEN], job, inNode);
  tell(first);
  const command = new Uint8Array(1);
  while (readSync(0, command) > 0) tell(await runTurn(run));
  process.exit(0);
} catch (error) {
  fail(error);
}
