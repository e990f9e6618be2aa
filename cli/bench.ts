import { arch, platform, release } from "node:os";
import { type Command, Option } from "commander";
import type { Dtype } from "../engine/ground/options.ts";
import { backendName } from "../engine/node/dawn.ts";
import {
  encodeJson,
  type Failure,
  type Figures,
  measureNet,
  type NetFigures,
  sourceOf,
} from "../engine/tuning/figures.ts";
import { type Gpu, GpuError, nets } from "../index.ts";
import { randomWeights } from "../nets/random_weights.ts";
import { type CommonOptions, type Context, command, dtypeOption, positiveInteger } from "../tools/command.ts";
import { checkPlace, writeWhole } from "../tools/files.ts";
import { columns, count, duration } from "../tools/format.ts";
import { netNames } from "../tools/net_options.ts";
import { issuePlace, ownVersion, versionOf } from "../tools/package.ts";
import { openDevice } from "../tools/session.ts";
import { complain, openProgress, paint, print } from "../tools/terminal.ts";

interface Options extends Omit<CommonOptions, "json"> {
  readonly nets?: readonly string[];
  readonly batch: number;
  readonly dtype: Dtype;
  readonly runs: number;
  /** A file, or true for stdout. */
  readonly json?: string | true;
}

/** What takes about a minute. */
const ON_CPUS = ["lenet5", "squeezenet1_1", "resnet18"];
const ON_GPUS = [...ON_CPUS, "alexnet", "vgg16", "resnet50", "mobilenet_v2"];

export function benchCommand(context: Context): Command {
  return command(
    "bench",
    "time and check some nets with random weights, for a file of figures that can be sent and compared",
    "npx shadenet bench --json figures.json",
    new Option("--json [file]", "print JSON for programs, or write it to a file"),
  )
    .option("--nets <names>", "separated by commas; a few that take about a minute if left out", netNames)
    .option("--batch <n>", "images per run", positiveInteger, 1)
    .option("--runs <n>", "how many runs to take the median of", positiveInteger, 10)
    .addOption(dtypeOption())
    .action((options: Options) => bench(options, context));
}

async function bench(options: Options, context: Context): Promise<void> {
  const { signal } = context;
  const { json, batch, dtype } = options;
  // Before anything is measured.
  if (typeof json === "string") await checkPlace(json);
  const measured: NetFigures[] = [];
  const failed: Failure[] = [];
  let gpu: Gpu | undefined = await openDevice(context);
  const names = options.nets ?? (gpu.adapter.software ? ON_CPUS : ON_GPUS);
  const about = {
    shadenet: ownVersion(),
    runtime: `Node ${process.versions.node}, webgpu ${versionOf("webgpu") ?? "unknown"}`,
    os: `${platform()} ${/^[\d.]*\d/.exec(release())?.[0] ?? ""} ${arch()}`,
    backend: backendName(),
  };
  const source = sourceOf(gpu, about);
  const progress = await openProgress("Measuring");
  try {
    for (const [i, net] of names.entries()) {
      signal.throwIfAborted();
      progress.update(i, names.length);
      // One that has compiled nothing yet.
      gpu ??= await context.openGpu();
      try {
        const weights = randomWeights(nets[net]);
        measured.push(await measureNet(gpu, nets[net], { ...options, weights, isCold: true, signal }));
      } catch (error) {
        if (!(error instanceof GpuError)) throw error;
        failed.push({ net, batch, dtype, reason: error.message });
      }
      gpu.close();
      gpu = undefined;
    }
  } finally {
    progress.stop();
    gpu?.close();
  }
  const figures: Figures = { ...source, nets: measured, failed };
  const text = encodeJson(figures);
  if (json === true) process.stdout.write(text);
  else for (const line of describe(figures)) print(line);
  if (typeof json === "string") {
    await writeWhole(json, (file) => file.writeFile(text));
    print(`\n${json} has the figures; if you like, attach it to ${issuePlace()}.`);
  }
  for (const { net, reason } of failed) complain(`${net} was not measured: ${reason}`);
  if (failed.length > 0) process.exitCode = 1;
}

function describe({ adapter, driver, backend, runtime, os, nets }: Figures): string[] {
  const [header, ...rows] = columns(
    [
      ["Net", "Batch", "Median", "Fastest", "Runs", "First result", "Images/s", "Agreement"],
      ...nets.map(({ net, batch, medianMs, fastestMs, runs, coldMs, agreement }) => [
        net,
        count(batch),
        duration(medianMs),
        duration(fastestMs),
        count(runs),
        coldMs === undefined ? "-" : duration(coldMs),
        ((1000 * batch) / medianMs).toPrecision(3),
        agreement.toExponential(1),
      ]),
    ],
    [1, 2, 3, 4, 5, 6, 7],
  );
  return [
    ...columns([
      ["Adapter", `${adapter.device}${adapter.software ? " (software)" : ""}, ${backend}`],
      ["Driver", driver || "not told"],
      ["On", `${runtime}, ${os}`],
    ]),
    "",
    paint("bold", header),
    ...rows,
    "",
    "From images in memory to logits in memory, random weights. Agreement: largest difference from the plain kernels' logits",
    "in float32, over the rms of these.",
  ];
}
