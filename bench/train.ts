// npm run bench:train: steps of training of the same nets, from the same weights and on the same images, in shadenet and
// other engines, on the same adapter in one run. Every engine has a process of its own for every net, and they take turns.

import { Command } from "commander";
import { findNet, inputShape } from "../engine/definition.ts";
import { FileError, nets, UsageError } from "../index.ts";
import { type Context, nameList, positiveInteger, positiveNumber } from "../tools/command.ts";
import { isMain } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import type { NetJob } from "./peers/compare.ts";
import { checkEngines, compete, openProcesses } from "./peers/contest.ts";
import { namesOf, TRAINED, type Training } from "./peers/engines.ts";
import { findPyTorch } from "./peers/packages.ts";
import type { Effort } from "./peers/results.ts";

interface Options extends Effort {
  readonly nets: readonly string[];
  readonly batch?: number;
  readonly engines?: readonly string[];
  readonly timeout: number;
  readonly json?: string;
}

/** Steps whose losses are compared, and how they are made. */
const HOW: Omit<Training, "options"> = {
  steps: 3,
  optimizer: { name: "sgd", lr: 0.01, momentum: 0.9, weightDecay: 5e-4 },
};

/** Nets that are trained, with images per step unless others are asked for, and pixels of their sides. */
const NETS: Readonly<Record<string, { readonly batch: number; readonly imageSize: number }>> = {
  lenet5: { batch: 64, imageSize: 32 },
  resnet18: { batch: 16, imageSize: 64 },
};

export const trainCommand = (context: Context) =>
  new Command("bench:train")
    .description("compare steps of training with other engines on the same adapter")
    .option("--nets <names>", "which nets: a,b", nameList, Object.keys(NETS))
    .option("--batch <n>", "images per step (default: those that each net is usually trained with)", positiveInteger)
    .option("--engines <names>", `which of ${namesOf(TRAINED).join(",")} (default: all)`, nameList)
    .option("--cold <n>", "cold starts of every engine per net", positiveInteger, 1)
    .option("--turns <n>", "turns of every engine per net at least", positiveInteger, 5)
    .option("--seconds <s>", "how long the slowest engine may run per net, beyond those", positiveNumber, 10)
    .option("--timeout <s>", "when to give an engine up that does not answer", positiveInteger, 300)
    .option("--json <file>", "write the results as JSON")
    .option("--debug", "show where in the code an error came from")
    .addHelpText("after", "\nExample:\n  $ npm run bench:train -- --nets lenet5 --json train.json")
    .action((options: Options) => compare(options, context));

async function compare({ nets: chosen, batch, engines, ...options }: Options, context: Context): Promise<void> {
  const jobs = chosen.map((net) => jobOf(net, batch));
  const wanted = checkEngines(engines ?? namesOf(TRAINED), TRAINED);
  const version = wanted.includes("pytorch") ? await findPyTorch(context.signal) : undefined;
  const none = wanted.includes("pytorch") && version === undefined;
  if (none && engines)
    throw new FileError("python3 cannot import torch: install it, or leave pytorch out of --engines");
  await compete({
    ...options,
    nets: jobs,
    engines: { ...TRAINED, pytorch: { ...TRAINED.pytorch, version } },
    names: wanted.filter((name) => name !== "pytorch" || !none),
    notes: none ? ["PyTorch is left out: python3 cannot import torch"] : [],
    open: openProcesses,
    ...context,
  });
}

function jobOf(net: string, given?: number): NetJob {
  if (!Object.hasOwn(NETS, net)) {
    throw new UsageError(`bench:train has no net "${net}"; there are ${Object.keys(NETS).join(", ")}`);
  }
  const { batch, imageSize } = NETS[net];
  const shape = inputShape(findNet(nets, net), { batch: given ?? batch, imageSize });
  return { net, shape, training: { ...HOW, options: { numClasses: 10, imageSize } } };
}

if (isMain(import.meta.url)) await runProgram(trainCommand, process.argv.slice(2));
