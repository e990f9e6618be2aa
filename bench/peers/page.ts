// One contender of bench:peers in a page of a browser of its own: browser.ts calls these.
import type { EngineName, Job, Open, Run } from "./engines.ts";
import { inPage } from "./host_page.ts";
import { type FirstRun, runFirst, runTurn, type Turn } from "./measure.ts";

const OPEN: Readonly<Record<Exclude<EngineName, "pytorch">, () => Promise<{ open: Open }>>> = {
  shadenet: () => import("./shadenet.ts"),
  onnxruntime: () => import("./onnxruntime_web.ts"),
  tfjs: () => import("./tfjs.ts"),
  "jax-js": () => import("./jax_js.ts"),
  litert: () => import("./litert.ts"),
};

/** Errors are answers, too, so that nothing is put before their messages. */
type Answer<T> = T | { readonly error: string };

const answer = <T>(work: Promise<T>): Promise<Answer<T>> =>
  work.catch((error) => ({ error: error instanceof Error ? error.message : String(error) }));

/** The adapter that shadenet takes there. */
export const probe = () =>
  answer(
    inPage.loadShadenet().then(async ({ openGpu }) => {
      const gpu = await openGpu();
      gpu.close();
      return { adapter: gpu.adapter, maxBinding: gpu.traits.maxBinding };
    }),
  );

let running: Run;

export const first = (job: Job): Promise<Answer<FirstRun>> =>
  answer(
    runFirst(OPEN[job.engine as keyof typeof OPEN], job, inPage).then(({ run, first }) => {
      running = run;
      return first;
    }),
  );

export const turn = (): Promise<Answer<Turn>> => answer(runTurn(running));
