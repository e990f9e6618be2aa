// npm run bench:nets: whole nets at several batch sizes, with random weights, checked against the plain kernels first.
import { InvalidArgumentError } from "commander";
import { type Context, positiveInteger } from "../tools/command.ts";
import { isMain } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import { measureNets } from "./measure/nets.ts";
import { type BenchOptions, benchCommand, runBench } from "./report/program.ts";
import type { NetReport } from "./report/report.ts";

interface Options extends BenchOptions {
  readonly batch?: readonly number[];
  readonly cold: number;
}

export const netsCommand = (context: Context) =>
  benchCommand(
    "bench:nets",
    "time whole nets at several batch sizes, and their first result in a new process",
    "npm run bench:nets -- --nets resnet18,vgg16 --json nets.json",
    10,
  )
    .option("--batch <sizes>", "images per run, separated by commas; 1,8 if left out, and 32 on a GPU", batchList)
    .option("--cold <n>", "how many cold starts to take the median of, at batch 1; 0 for none", wholeNumber, 1)
    .action((options: Options) => bench(options, context));

async function bench(options: Options, context: Context): Promise<void> {
  await runBench<NetReport>(
    {
      kind: "nets",
      options,
      measure: (bench) => measureNets(options, bench),
      report: (run, rows) => ({ ...run, kind: "nets", rows }),
      wanted: ({ net, batch }) => options.nets.includes(net) && (options.batch?.includes(batch) ?? true),
    },
    context,
  );
}

const batchList = (text: string): number[] => [...new Set(text.split(",").map((part) => positiveInteger(part.trim())))];

function wholeNumber(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be a whole number.");
}

if (isMain(import.meta.url)) await runProgram(netsCommand, process.argv.slice(2));
