import type { Dispatch } from "../../engine/device/executable.ts";
import { openStopwatch, type Sample, type Stopwatch } from "../../engine/device/stopwatch.ts";
import type { Gpu } from "../../engine/gpu.ts";
import { compile } from "../../engine/graph/compile.ts";
import { GpuError, UsageError } from "../../engine/ground/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import { type Model, withModel } from "../../engine/model.ts";
import { leastSeconds, type Roofline } from "../../engine/tuning/roofline.ts";
import type { Bench } from "../report/program.ts";
import { type KernelRow, timingOf } from "../report/report.ts";
import { milliseconds } from "../report/tables.ts";
import { type DistinctLayer, graphOfLayer, planOf } from "./layers.ts";
import { interleave, timingsOf } from "./pace.ts";
import { type Expected, expected, type Inputs, judge, judgeAll, type Verdict } from "./reference.ts";

// Layers by each of their variants: checked, then timed in turns.

export interface VariantOptions {
  /** The nets that the layers are from, and images per run. */
  readonly nets: readonly string[];
  readonly batch: number;
  /** Only these; all that take a layer if left out. */
  readonly variants?: readonly string[];
  readonly runs: number;
  /** Milliseconds: a variant with a run that takes longer is skipped, and one whose runs do is run less often. */
  readonly budget: number;
}

/** What the layers of a run have in common. */
interface Session extends Bench, VariantOptions {
  readonly stopwatch: Stopwatch;
  /** Whether a net takes a variant for a layer when none is asked for. */
  isChosen(layer: DistinctLayer, variant: string): boolean;
  /** The share of the roofline that each variant reached last, from which its time for the next layer is guessed. */
  readonly shares: Map<string, number>;
}

/** Measures layers one after the other; a row for every variant that takes a layer. */
export async function* measureLayers(
  layers: readonly DistinctLayer[],
  options: VariantOptions,
  bench: Bench,
): AsyncGenerator<KernelRow> {
  const isChosen = chooser(bench.gpu, options);
  const stopwatch = await openStopwatch(bench.gpu);
  const session: Session = { ...bench, ...options, isChosen, stopwatch, shares: new Map() };
  try {
    for (const [i, layer] of layers.entries()) {
      bench.progress.update(i, layers.length);
      yield* await measureLayer(layer, session);
    }
  } finally {
    stopwatch.close();
  }
}

/** A variant of a layer. */
interface Case {
  readonly row: KernelRow;
  /** What is timed; empty where the row says why it is not. */
  readonly dispatches: readonly Dispatch[];
}

async function measureLayer(layer: DistinctLayer, session: Session): Promise<KernelRow[]> {
  const { gpu, roofline, stopwatch, shares } = session;
  const inputs = randomInputs(layer.call.shapes);
  const check = makeCheck(layer, inputs, gpu);
  return withModel(gpu, graphOfLayer(layer), inputs, async (model) => {
    const cases: Case[] = [];
    for (const variant of variantsOf(layer, session)) {
      session.signal.throwIfAborted();
      const prepared = await prepare(layer, variant, model, check, session);
      if (prepared) cases.push(prepared);
    }
    const ready = cases.filter(({ dispatches }) => dispatches.length > 0);
    const samples = await interleave(
      ready.map(
        ({ dispatches }) =>
          () =>
            stopwatch.time(dispatches),
      ),
      session,
    );
    return cases.map((each) => {
      if (!ready.includes(each)) return each.row;
      const row = finish(each.row, samples[ready.indexOf(each)], roofline);
      // Of a layer that takes no time nothing follows for those that do.
      if ((timingOf(row)?.median ?? 0) >= 1) shares.set(shareKey(layer, row.variant), row.rooflineShare ?? 1);
      return row;
    });
  });
}

/** The plain kernel, then its variants. */
function variantsOf({ kernel }: DistinctLayer, { gpu, variants }: Session): string[] {
  const all = [kernel.name, ...(gpu.variants[kernel.name] ?? []).map(({ name }) => name)];
  return all.filter((name) => variants?.includes(name) ?? true);
}

const shareKey = ({ kernel }: DistinctLayer, variant: string): string => `${kernel.name} ${variant}`;

/** A lone layer gives its image back in NCHW; in a net it does not have to, so that this does not count. */
const BACK_TO_NCHW = "to_nchw";

/** How a variant says that it does not apply: see engine/lower.ts. */
const REFUSAL = / cannot be run as asked for: /;

const NO_ROOM = ["LIMIT", "OUT_OF_MEMORY"];

/** Compiles a variant, runs it once and checks its output. Undefined where it does not take this layer. */
async function prepare(
  layer: DistinctLayer,
  variant: string,
  model: Model,
  check: Check,
  { gpu, batch, roofline, budget, isChosen, shares }: Session,
): Promise<Case | undefined> {
  const row = emptyRow(layer, variant, batch, isChosen(layer, variant));
  try {
    const plan = compile(model.graph, ["y"], gpu, { passes: [], variants: { [layer.kernel.name]: variant } });
    const counts = plan.steps.map(({ kernel }) => kernel !== BACK_TO_NCHW);
    const kernels = plan.steps.filter((_, i) => counts[i]).map(({ kernel }) => kernel);
    if (kernels.length === 0) {
      return {
        row: { ...row, status: "skipped", reason: "it takes no kernel: its output is its input" },
        dispatches: [],
      };
    }
    const guess = (leastSeconds(layer, roofline) * 1000) / (shares.get(shareKey(layer, variant)) ?? 1);
    if (guess > budget) {
      const reason = `a run would take about ${milliseconds(guess).trim()}, over the budget of ${milliseconds(budget).trim()}`;
      return { row: { ...row, kernels, status: "skipped", reason }, dispatches: [] };
    }
    const executable = await model.prepare(plan);
    const { error, problem } = check((await executable.run({})).y.data, variant);
    const checked = { ...row, kernels, error: Number.isFinite(error) ? error : undefined };
    return problem === undefined
      ? { row: checked, dispatches: executable.dispatches.filter((_, i) => counts[i]) }
      : { row: { ...checked, status: "wrong", reason: problem }, dispatches: [] };
  } catch (error) {
    if (error instanceof UsageError && REFUSAL.test(error.message)) return undefined;
    if (!(error instanceof GpuError && NO_ROOM.includes(error.code))) throw error;
    return { row: { ...row, status: "skipped", reason: error.message }, dispatches: [] };
  }
}

/** Compares a variant's output with the reference, and with that of the first variant that was right. */
type Check = (output: Float32Array, variant: string) => Verdict;

function makeCheck(layer: DistinctLayer, inputs: Inputs, gpu: Gpu): Check {
  const wanted: Expected = expected(layer.kernel, inputs, layer.call);
  let right: Float32Array | undefined;
  return (output, name) => {
    const { error } = gpu.variants[layer.kernel.name]?.find((variant) => variant.name === name) ?? {};
    const verdict = judge(output, wanted, (error?.f32 ?? 0) > 0);
    if (verdict.problem !== undefined) return verdict;
    const { problem, ...whole } = judgeAll(output, right ?? output, wanted);
    if (problem !== undefined) return { ...whole, problem: `${problem}, as another variant has it` };
    right ??= output;
    return verdict;
  };
}

function randomInputs(shapes: Readonly<Record<string, Shape | undefined>>): Inputs {
  const draw = (name: string, shape: Shape): Tensor => {
    // Filters in K. He's range, so that outputs are about as large as inputs; a variance is positive.
    const spread = name === "w" ? Math.sqrt(6 / sizeOf(shape.slice(1))) : 1;
    const least = name === "variance" ? 0.5 : -spread;
    const data = new Float32Array(sizeOf(shape));
    for (let i = 0; i < data.length; i++) data[i] = least + 2 * spread * Math.random();
    return { shape, data };
  };
  const given = Object.entries(shapes).flatMap(([name, shape]) => (shape ? [[name, draw(name, shape)] as const] : []));
  return Object.fromEntries(given);
}

function emptyRow(layer: DistinctLayer, variant: string, batch: number, chosen: boolean): KernelRow {
  const { text, kernel, call, nets, flops, bytes } = layer;
  return {
    layer: text,
    batch,
    operator: kernel.name,
    shapes: call.shapes as KernelRow["shapes"],
    output: call.y,
    options: call.options as KernelRow["options"],
    variant,
    chosen,
    kernels: [],
    nets,
    status: "ok",
    flops,
    bytes,
  };
}

function chooser(gpu: Gpu, { nets, batch }: VariantOptions): Session["isChosen"] {
  const taken = new Set(
    nets.flatMap((net) =>
      planOf(gpu, net, batch).steps.map(({ label, kernel, choice }) => {
        const { layer = label, operator = kernel, variant = kernel } = choice ?? {};
        return [net, layer, operator, variant].join(" ");
      }),
    ),
  );
  return ({ kernel, nets }, variant) =>
    nets.some(({ net, layers }) => layers.some((layer) => taken.has([net, layer, kernel.name, variant].join(" "))));
}

function finish(row: KernelRow, samples: readonly Sample[], roofline: Roofline): KernelRow {
  const timed = { ...row, ...timingsOf(samples) };
  const seconds = (timingOf(timed)?.median ?? 0) / 1000;
  // A clock may be too coarse to see anything at all.
  if (seconds === 0) return timed;
  return {
    ...timed,
    flopsRate: row.flops / seconds,
    bytesRate: row.bytes / seconds,
    rooflineShare: leastSeconds(row, roofline) / seconds,
  };
}
