// npm run bench:kernels: every distinct layer of the nets by each of its variants, checked first and then timed.

import { UsageError } from "../engine/ground/errors.ts";
import * as exported from "../kernels/index.ts";
import { variants } from "../kernels/variants.ts";
import { type Context, nameList, positiveInteger } from "../tools/command.ts";
import { isMain } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import { distinctLayers } from "./measure/layers.ts";
import { measureLayers } from "./measure/variants.ts";
import { type BenchOptions, benchCommand, runBench } from "./report/program.ts";
import type { KernelReport } from "./report/report.ts";

interface Options extends BenchOptions {
  readonly only?: RegExp;
  readonly batch: number;
  readonly variants?: readonly string[];
}

export const kernelsCommand = (context: Context) =>
  benchCommand(
    "bench:kernels",
    "time every distinct layer of the nets by each of its variants, once it is known to compute what it should",
    'npm run bench:kernels -- --nets resnet18 --only "conv2d.*3x3"',
    2,
  )
    .option("--only <regex>", "only layers whose line in the table it matches", regularExpression)
    .option("--batch <n>", "images per run", positiveInteger, 1)
    .option("--variants <names>", "only these variants, separated by commas", variantNames)
    .action((options: Options) => bench(options, context));

async function bench(options: Options, context: Context): Promise<void> {
  const { nets, only, batch } = options;
  const layers = distinctLayers(nets, batch).filter(({ text }) => only?.test(text) ?? true);
  if (layers.length === 0) {
    throw new UsageError(`no layer of ${nets.join(", ")} is like ${only}; "conv2d.*3x3" is one way to write it`);
  }
  await runBench<KernelReport>(
    {
      kind: "kernels",
      options,
      measure: (bench) => measureLayers(layers, options, bench),
      report: (run, rows) => ({ ...run, kind: "kernels", rows }),
      wanted: (row) =>
        row.batch === batch &&
        row.nets.some(({ net }) => nets.includes(net)) &&
        (only?.test(row.layer) ?? true) &&
        (options.variants?.includes(row.variant) ?? true),
    },
    context,
  );
}

function regularExpression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new UsageError(`--only: ${(cause as Error).message}`, { cause });
  }
}

function variantNames(text: string): string[] {
  const names = nameList(text);
  const plain = Object.values(exported).flatMap((each) => ("wgsl" in each ? [each.name] : []));
  const known = [...new Set([...plain, ...Object.values(variants).flatMap((list) => list.map(({ name }) => name))])];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new UsageError(`there is no variant "${unknown}"; there are ${known.join(", ")}`);
  return names;
}

if (isMain(import.meta.url)) await runProgram(kernelsCommand, process.argv.slice(2));
