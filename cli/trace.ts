import type { Span, Timings } from "../engine/device/profile.ts";
import type { Step } from "../engine/graph/plan.ts";
import { describeStep, rate } from "../engine/tuning/report.ts";
import type { Roofline } from "../engine/tuning/roofline.ts";

/** An event of Chrome's Trace Event Format. Times are in microseconds. */
export interface TraceEvent {
  readonly name: string;
  /** "X" has a duration, "M" names a track. */
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly args: object;
}

/** Shown above each other in this order. */
const TRACKS = ["runs", "layers", "steps"] as const;

const PROCESS = 1;

/** Between two runs, as a share of the first one's length, so that they can be told apart. */
const GAP = 0.02;

/**
 * Timed runs of a plan for chrome://tracing and https://ui.perfetto.dev: the measured runs one after the other, on tracks
 * for runs, layers and steps. `about` is kept in the file, too.
 */
export function chromeTrace(
  title: string,
  steps: readonly Step[],
  { clock, runs }: Timings,
  roofline: Roofline,
  about: object,
): { displayTimeUnit: "ns"; otherData: object; traceEvents: TraceEvent[] } {
  const names = TRACKS.flatMap((name, track): TraceEvent[] => [
    { name: "thread_name", ph: "M", pid: PROCESS, tid: track, args: { name } },
    { name: "thread_sort_index", ph: "M", pid: PROCESS, tid: track, args: { sort_index: track } },
  ]);
  const process: TraceEvent = { name: "process_name", ph: "M", pid: PROCESS, tid: 0, args: { name: title } };
  let origin = 0;
  const events = runs.flatMap((measured, run) => {
    const spans = oneByOne(measured).map(({ start, end }) => ({ start: origin + start, end: origin + end }));
    const whole = { start: origin, end: spans.at(-1)?.end ?? origin };
    origin = whole.end + GAP * (whole.end - whole.start);
    return [
      complete("runs", `run ${run + 1}`, whole, { steps: steps.length }),
      ...layers(steps, spans),
      ...steps.map((step, i) => stepEvent(step, spans[i], run, roofline)),
    ];
  });
  const byStart = (a: TraceEvent, b: TraceEvent) => (a.ts ?? 0) - (b.ts ?? 0) || a.tid - b.tid;
  return {
    displayTimeUnit: "ns",
    otherData: { ...about, clock },
    traceEvents: [process, ...names, ...events.sort(byStart)],
  };
}

function stepEvent(step: Step, span: Span, run: number, roofline: Roofline): TraceEvent {
  const { flops, bytes } = step;
  const { flopsRate, bytesRate, rooflineShare } = rate(
    [{ flops, bytes, milliseconds: span.end - span.start }],
    roofline,
  );
  return complete("steps", step.kernel, span, {
    run: run + 1,
    ...describeStep(step),
    flops,
    bytes,
    "GFLOP/s": flopsRate && flopsRate / 1e9,
    "GB/s": bytesRate && bytesRate / 1e9,
    rooflineShare,
  });
}

/** Neighbouring steps of one layer as one event. */
function layers(steps: readonly Step[], spans: readonly Span[]): TraceEvent[] {
  const events: TraceEvent[] = [];
  let first = 0;
  steps.forEach(({ label }, i) => {
    if (steps[i + 1]?.label === label) return;
    const kernels = steps.slice(first, i + 1).map(({ kernel }) => kernel);
    events.push(complete("layers", label, { start: spans[first].start, end: spans[i].end }, { kernels }));
    first = i + 1;
  });
  return events;
}

const complete = (track: (typeof TRACKS)[number], name: string, { start, end }: Span, args: object): TraceEvent => ({
  name,
  cat: track,
  ph: "X",
  pid: PROCESS,
  tid: TRACKS.indexOf(track),
  ts: microseconds(start),
  dur: microseconds(end - start),
  args,
});

/** Of milliseconds, to the nanosecond. */
const microseconds = (milliseconds: number): number => Math.round(1e6 * milliseconds) / 1000;

/** A device may begin a step before the last one has ended, which no track of a trace can show. */
function oneByOne(spans: readonly Span[]): Span[] {
  let last = 0;
  return spans.map(({ start, end }) => {
    const span = { start: Math.max(start, last), end: Math.max(end, last) };
    last = span.end;
    return span;
  });
}
