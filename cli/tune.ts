import type { Command } from "commander";
import { inputShape } from "../engine/definition.ts";
import { formatShape } from "../engine/ground/tensor.ts";
import { storedFile } from "../engine/node/storage.ts";
import { tuningName } from "../engine/tuning/kept.ts";
import { type Tuned, tune } from "../index.ts";
import { type CommonOptions, type Context, command, positiveInteger } from "../tools/command.ts";
import { clip, columns, count, oneLine } from "../tools/format.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { NET_HELP, netNamed, openDevice } from "../tools/session.ts";
import { openProgress, paint, print, printJson } from "../tools/terminal.ts";

interface Options extends CommonOptions {
  readonly batch: number;
  readonly runs: number;
}

export function tuneCommand(context: Context): Command {
  const tuning = command(
    "tune",
    "measure which kernels are fastest for a net on this adapter, and keep that for all later runs",
    "npx shadenet tune resnet18",
  )
    .argument("<net>", NET_HELP)
    .option("--batch <n>", "images per run", positiveInteger, 1)
    .option("--runs <n>", "how many runs of each candidate to take the fastest of", positiveInteger, 5);
  return addNetOptions(tuning).action((net: string, options: Options) => tuneNet(net, options, context));
}

async function tuneNet(net: string, given: Options, context: Context): Promise<void> {
  const { signal } = context;
  const { batch, runs, json } = given;
  const definition = await netNamed(net);
  const built = { batch, ...netOptionsOf(definition, given) };
  const input = inputShape(definition, built);
  const gpu = await openDevice(context);
  try {
    const progress = await openProgress(`Tuning ${net}`);
    const onProgress = ({ loaded, total }: { loaded: number; total: number }) => progress.update(loaded, total);
    const options = { ...built, runs, signal, onProgress };
    const layers = await tune(gpu, definition, options).finally(() => progress.stop());
    const kept = storedFile(tuningName(gpu.adapter));
    if (json) return printJson({ net, input, adapter: gpu.adapter, runs, kept, layers });
    print(`${paint("bold", net)} on ${formatShape(input)}, on ${gpu.adapter.name}; the fastest of ${runs} runs\n`);
    for (const line of describe(layers, kept)) print(line);
  } finally {
    gpu.close();
  }
}

function describe(layers: readonly Tuned[], kept: string): string[] {
  if (layers.length === 0) return ["No layer has more than one candidate here: there is nothing to choose."];
  const [header, ...rows] = columns([["Layer", "Variant", "Time", "", ""], ...layers.flatMap(candidates)], [2, 3]);
  const asEstimated = layers.filter(({ best, estimated }) => best === estimated).length;
  return [
    paint("bold", header),
    paint("dim", "─".repeat(header.length)),
    ...rows,
    "",
    `The estimates would choose the same for ${count(asEstimated)} of ${count(layers.length)}.`,
    `Kept in ${kept}`,
  ];
}

/** A row for every candidate for a layer, the fastest first. */
function candidates({ layers: [first, ...more], best, estimated, times }: Tuned): string[][] {
  const layer = more.length > 0 ? `${first} and ${more.length} more` : first;
  const least = times[0].milliseconds ?? Number.NaN;
  return times.map(({ variant, milliseconds, problem }, i) => {
    const notes = [
      ...(variant === best ? ["taken"] : []),
      ...(variant === estimated ? ["estimated to be the best"] : []),
      ...(problem ? [clip(oneLine(problem), 60)] : []),
    ];
    const time = milliseconds === undefined ? "-" : `${milliseconds.toFixed(3)} ms`;
    const factor = i > 0 && milliseconds !== undefined ? `${(milliseconds / least).toFixed(1)} x` : "";
    return [i === 0 ? layer : "", variant, time, factor, notes.join(", ")];
  });
}
