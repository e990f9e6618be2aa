import { type Command, InvalidArgumentError } from "commander";
import { type AnyNet, trace } from "../engine/definition.ts";
import { type Timings, timeSteps } from "../engine/device/profile.ts";
import type { Dtype } from "../engine/ground/options.ts";
import { median } from "../engine/ground/statistics.ts";
import { formatShape, sizeOf } from "../engine/ground/tensor.ts";
import {
  type GroupProfile,
  groupSteps,
  type Performance,
  profileSteps,
  type StepProfile,
} from "../engine/tuning/report.ts";
import { measureRoofline, type Roofline } from "../engine/tuning/roofline.ts";
import { type AdapterSummary, type LoadOptions, type Net, type Shape, UsageError } from "../index.ts";
import { probes } from "../kernels/probes.ts";
import { randomWeights } from "../nets/random_weights.ts";
import {
  type CommonOptions,
  type Context,
  command,
  dtypeOption,
  positiveInteger,
  weightsKeyOption,
} from "../tools/command.ts";
import { writeWhole } from "../tools/files.ts";
import { bar, columns, count, duration, percent } from "../tools/format.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { ownVersion, versionOf } from "../tools/package.ts";
import { NET_HELP, netNamed, openNet } from "../tools/session.ts";
import { lineWidth, openProgress, paint, print, printJson } from "../tools/terminal.ts";
import { chromeTrace } from "./trace.ts";

interface Options extends CommonOptions {
  readonly weights?: string;
  readonly weightsKey?: string;
  readonly batch: number;
  readonly runs: number;
  readonly variant?: Readonly<Record<string, string>>;
  readonly dtype: Dtype;
  readonly trace?: string;
}

export function profileCommand(context: Context): Command {
  const profiling = command(
    "profile",
    "time every step of a net on the GPU, against what the adapter can do",
    "npx shadenet profile resnet18 --trace trace.json",
  )
    .argument("<net>", NET_HELP)
    .option("--weights <file>", "a .safetensors or .pth file, its URL, or a name; random ones if left out")
    .addOption(weightsKeyOption())
    .option("--batch <n>", "images per run", positiveInteger, 1)
    .option("--runs <n>", "how many runs to take the median of", positiveInteger, 5)
    .option("--variant <op=name...>", "the variant of an operator to take, such as conv2d=conv2d", variantOf)
    .addOption(dtypeOption())
    .option("--trace <file>", "write the runs for chrome://tracing or ui.perfetto.dev");
  return addNetOptions(profiling).action((net: string, options: Options) => profile(net, options, context));
}

/** Parser of an option that may be given more than once. */
function variantOf(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const [, operator, variant] = /^(\w+)=(\w+)$/.exec(text) ?? [];
  if (!operator) throw new InvalidArgumentError("It must be an operator and its variant, such as conv2d=conv2d.");
  return { ...before, [operator]: variant };
}

async function profile(name: string, options: Options, context: Context): Promise<void> {
  const { signal } = context;
  const definition = await netNamed(name);
  const { batch, variant: variants, dtype } = options;
  const load = { batch, variants, dtype, ...netOptionsOf(definition, options) };
  checkOperators(definition, load);
  const weights = options.weights ?? definition.defaultWeights ?? randomWeights(definition, load);
  const { gpu, net, close } = await openNet(definition, { ...load, weights, weightsKey: options.weightsKey }, context);
  try {
    const roofline = await measureRoofline(gpu, probes);
    signal.throwIfAborted();
    const measured = await measure(net, options.runs, signal);
    const { plan } = await net.executable();
    const steps = profileSteps(plan, measured.timings, roofline);
    const profiled: Profile = {
      net: name,
      input: net.inputShape,
      weights: typeof weights === "string" ? weights : weights === definition.defaultWeights ? "its own" : "random",
      dtype: options.dtype,
      adapter: gpu.adapter,
      versions: { shadenet: ownVersion(), webgpu: versionOf("webgpu"), node: process.versions.node },
      clock: measured.timings.clock,
      runs: options.runs,
      slices: measured.slices,
      roofline,
      wall: measured.wall,
      steps,
      kernels: groupSteps(steps, ({ kernel }) => kernel, roofline),
      operators: groupSteps(steps, ({ operator }) => operator, roofline),
    };
    if (options.trace !== undefined) {
      const { steps: _, kernels, operators, ...about } = profiled;
      const title = `${name} ${formatShape(net.inputShape)} on ${gpu.adapter.name}`;
      const trace = chromeTrace(title, plan.steps, measured.timings, roofline, about);
      await writeWhole(options.trace, (file) => file.writeFile(JSON.stringify(trace)));
    }
    if (options.json) printJson(profiled);
    else for (const line of describe(profiled, options.trace)) print(line);
  } finally {
    close();
  }
}

/** A variant of an operator that the net does not have would be forced without any effect. */
function checkOperators(definition: AnyNet, load: LoadOptions): void {
  const { nodes } = trace(definition, load);
  const operators = new Set(nodes.flatMap((node) => (node.kind === "op" ? [node.kernel.name] : [])));
  const unknown = Object.keys(load.variants ?? {}).find((operator) => !operators.has(operator));
  if (unknown === undefined) return;
  throw new UsageError(`${definition.name} has no operator "${unknown}"; it has ${[...operators].join(", ")}`);
}

interface Profile {
  readonly net: string;
  readonly input: Shape;
  readonly weights: string;
  readonly dtype: Dtype;
  readonly adapter: AdapterSummary;
  readonly versions: { readonly shadenet: string; readonly webgpu?: string; readonly node: string };
  readonly clock: Timings["clock"];
  readonly runs: number;
  /** Parts that the batch was run in, since the device cannot bind all of it at once. The steps are those of one. */
  readonly slices: number;
  readonly roofline: Roofline;
  /** Milliseconds of net.run(). */
  readonly wall: { readonly median: number; readonly min: number; readonly max: number };
  readonly steps: readonly StepProfile[];
  readonly kernels: readonly GroupProfile[];
  readonly operators: readonly GroupProfile[];
}

async function measure(net: Net, runs: number, signal: AbortSignal) {
  const input = Float32Array.from({ length: sizeOf(net.inputShape) }, () => 2 * Math.random() - 1);
  const executable = await net.executable();
  const slice = sizeOf(executable.plan.inputs[0].shape);
  const progress = await openProgress("Profiling");
  const advance = (done: number) => {
    signal.throwIfAborted();
    progress.update(done, 2 * (runs + 1));
  };
  try {
    const x = input.subarray(0, slice);
    const timings = await timeSteps(executable, { x }, runs, advance);
    const times: number[] = [];
    for (let run = 0; run <= runs; run++) {
      const start = performance.now();
      await net.run(input);
      // The first run warms up.
      if (run > 0) times.push(performance.now() - start);
      advance(runs + 1 + run);
    }
    const wall = { median: median(times), min: Math.min(...times), max: Math.max(...times) };
    return { timings, slices: input.length / slice, wall };
  } finally {
    progress.stop();
  }
}

function describe(profile: Profile, trace: string | undefined): string[] {
  const { net, input, weights, adapter, clock, runs, slices, roofline, wall, steps } = profile;
  const total = steps.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const timed = {
    gpu: `timestamps of the GPU, the median of ${runs} runs`,
    wall: `wall time of each step alone, since the adapter has no timestamps; the median of ${runs} runs`,
  }[clock];
  const parts = slices > 1 ? `, in ${slices} parts of ${input[0] / slices}; the steps are those of one part` : "";
  return [
    `${paint("bold", net)} on ${formatShape(input)}${parts}`,
    "",
    ...columns([
      ["Adapter", `${adapter.name}${adapter.software ? " (software)" : ""}`],
      ["Weights", weights === "random" ? "random: give others with --weights" : weights],
      ["Clock", timed],
      ["Roofline", `${giga(roofline.flops)} GFLOP/s and ${giga(roofline.bytes)} GB/s, as measured`],
    ]),
    "",
    ...stepTable(steps),
    "",
    ...groupTable("Kernel", profile.kernels),
    "",
    ...groupTable("Layer kind", profile.operators),
    ...choices(steps),
    "",
    ...columns([
      [`Sum of ${count(steps.length)} steps`, precise(slices * total)],
      ["net.run()", `${precise(wall.median)} of wall time, ${precise(wall.min)} to ${precise(wall.max)}`],
      ...(trace === undefined ? [] : [["Trace", `${trace}, for chrome://tracing or https://ui.perfetto.dev`]]),
    ]),
  ];
}

/** "1.234 ms": run() on a GPU takes little more. */
const precise = (milliseconds: number): string =>
  milliseconds < 10 ? `${milliseconds.toFixed(3)} ms` : duration(milliseconds);

/** Billions per second: "0.62", "48.3", "51,200". */
function giga(rate: number | undefined): string {
  if (rate === undefined) return "-";
  const billions = rate / 1e9;
  return billions < 999.5 ? billions.toFixed(billions < 0.995 ? 2 : 1) : count(Math.round(billions));
}

const RATES = ["Time", "GFLOP/s", "GB/s", "Roofline"];

const ratesOf = ({ flops, flopsRate, bytesRate, rooflineShare }: Performance): string[] => [
  flops > 0 ? giga(flopsRate) : "-",
  giga(bytesRate),
  rooflineShare === undefined ? "-" : percent(rooflineShare),
];

function stepTable(steps: readonly StepProfile[]): string[] {
  const rows = steps.map(({ layer, variant = "-", kernel, grid }, i) => {
    const isNext = steps[i - 1]?.layer === layer;
    return [isNext ? "" : layer, isNext ? "" : variant, kernel, grid.join("x").replace(/(x1){1,2}$/, "")];
  });
  return table(["Layer", "Variant", "Kernel", "Workgroups"], rows, 3, steps);
}

function groupTable(name: string, groups: readonly GroupProfile[]): string[] {
  const rows = groups.map((group) => [group.name, count(group.steps), percent(group.share)]);
  return table([name, "Steps", "Share"], rows, 1, groups);
}

/**
 * Rows with their times and rates behind them; columns from `right` on are flush right. Bars of the times follow where
 * the line has room for them.
 */
function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: number,
  times: readonly Performance[],
): string[] {
  const longest = Math.max(...times.map(({ milliseconds }) => milliseconds));
  const time = (ms: number) => (longest < 1 ? `${(1000 * ms).toFixed(1)} µs` : `${ms.toFixed(3)} ms`);
  const full = rows.map((row, i) => [...row, time(times[i].milliseconds), ...ratesOf(times[i])]);
  const titles = [...header, ...RATES];
  const [first, ...rest] = columns([titles, ...full], [...titles.keys()].slice(right));
  const width = Math.min(30, lineWidth() - first.length - 2);
  const barOf = (i: number) => (width < 5 ? "" : `  ${paint("cyan", bar(times[i].milliseconds / longest, width))}`);
  return [
    paint("bold", first),
    paint("dim", "─".repeat(first.length)),
    ...rest.map((line, i) => `${line}${barOf(i)}`.trimEnd()),
  ];
}

/** Why each variant was taken; the same reason once for all layers that have it. */
function choices(steps: readonly StepProfile[]): string[] {
  const layers = new Map<string, Set<string>>();
  for (const { variant, why = "", layer } of steps) {
    if (variant === undefined) continue;
    const reason = JSON.stringify([variant, why]);
    layers.set(reason, (layers.get(reason) ?? new Set()).add(layer));
  }
  if (layers.size === 0) return [];
  const rows = [...layers].map(([reason, [first, ...more]]) => [
    more.length > 0 ? `${first} and ${more.length} more` : first,
    ...JSON.parse(reason),
  ]);
  const [header, ...lines] = columns([["Layer", "Variant", "Why it was taken"], ...rows]);
  return ["", paint("bold", header), paint("dim", "─".repeat(header.length)), ...lines];
}
