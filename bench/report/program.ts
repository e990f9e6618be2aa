import { readFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Gpu } from "../../engine/gpu.ts";
import { fileError } from "../../engine/node/files.ts";
import { encodeJson } from "../../engine/tuning/figures.ts";
import { measureRoofline, type Roofline } from "../../engine/tuning/roofline.ts";
import { probes } from "../../kernels/probes.ts";
import { nets } from "../../nets/index.ts";
import { type Context, positiveInteger } from "../../tools/command.ts";
import { checkPlace, writeWhole } from "../../tools/files.ts";
import { netNames } from "../../tools/net_options.ts";
import { ownVersion, versionOf } from "../../tools/package.ts";
import { openDevice } from "../../tools/session.ts";
import { complain, openProgress, type Progress, print } from "../../tools/terminal.ts";
import { compareReports, readReport } from "./compare.ts";
import { type Report, type RowOf, type Run, SCHEMA } from "./report.ts";
import { describeComparison, describeRun, table } from "./tables.ts";

// What bench:kernels and bench:nets have in common.

export interface BenchOptions {
  readonly nets: readonly string[];
  readonly runs: number;
  /** Milliseconds that one thing may take for all its runs, more or less. */
  readonly budget: number;
  readonly json?: string;
  readonly html?: string;
  readonly compare?: string;
}

/** A command with the options that both benches have. */
export function benchCommand(name: string, description: string, example: string, budget: number): Command {
  return new Command(name)
    .description(description)
    .addOption(
      new Option("--nets <names>", "separated by commas").argParser(netNames).default(Object.keys(nets), "all"),
    )
    .option("--runs <n>", "how many runs to take the median of", positiveInteger, 10)
    .addOption(
      new Option("--budget <seconds>", "fewer runs of what would take longer")
        .argParser(seconds)
        .default(1000 * budget, String(budget)),
    )
    .option("--json <file>", "write the report for programs; after Ctrl-C it has what was measured, marked incomplete")
    .option("--html <file>", "write the report as a page with charts")
    .option("--compare <file>", "tell what got faster or slower since a report that --json wrote")
    .option("--debug", "show where in the code an error came from")
    .addHelpText("after", `\nExample:\n  $ ${example}`);
}

/** Parser of a positive number of seconds, as milliseconds. */
function seconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text) && Number(text) > 0) return Number(text) * 1000;
  throw new InvalidArgumentError("It must be a positive number of seconds.");
}

export interface Bench {
  readonly gpu: Gpu;
  readonly roofline: Roofline;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** What a bench measures, and how it is reported. */
interface Subject<R extends Report> {
  readonly kind: R["kind"];
  readonly options: BenchOptions;
  /** The rows as they are measured. */
  measure(bench: Bench): AsyncIterable<RowOf<R>>;
  report(run: Run, rows: readonly RowOf<R>[]): R;
  /** Whether a row of an older report is one that this run would measure, too. */
  wanted(row: RowOf<R>): boolean;
}

/**
 * Measures, and tells what was measured: as a table, and in the files that were asked for. When it is interrupted or
 * fails, it tells what it has, and throws then. A wrong result makes the exit code 1.
 */
export async function runBench<R extends Report>(subject: Subject<R>, context: Context): Promise<void> {
  const { signal } = context;
  const { kind, options } = subject;
  // Before anything is measured: what is wrong with the files.
  const older = options.compare === undefined ? undefined : await readOlder<R>(options.compare, kind);
  for (const path of [options.json, options.html]) if (path !== undefined) await checkPlace(path);
  const gpu = await openDevice(context);
  const progress = await openProgress(`Timing ${kind}`);
  const rows: RowOf<R>[] = [];
  let run: Run | undefined;
  let failure: unknown;
  try {
    if (older && older.adapter.name !== gpu.adapter.name) {
      complain(`warning: ${options.compare} was measured on ${older.adapter.name}, this is ${gpu.adapter.name}`);
    }
    const roofline = await measureRoofline(gpu, probes);
    signal.throwIfAborted();
    run = describe(gpu, roofline);
    for await (const row of subject.measure({ gpu, roofline, progress, signal })) rows.push(row);
  } catch (error) {
    failure = error;
  } finally {
    progress.stop();
    gpu.close();
  }
  if (run && (rows.length > 0 || !failure)) {
    await tell(subject, subject.report({ ...run, complete: !failure }, rows), older);
  }
  if (failure) throw failure;
}

async function tell<R extends Report>({ options, wanted }: Subject<R>, report: R, older: R | undefined): Promise<void> {
  for (const line of [...describeRun(report), "", ...table(report)]) print(line);
  if (older) {
    const lines = describeComparison(older, options.compare as string, compareReports(older, report, wanted));
    for (const line of ["", ...lines]) print(line);
  }
  if (options.json !== undefined) {
    await writeWhole(options.json, (file) => file.writeFile(encodeJson(report)));
  }
  if (options.html !== undefined) {
    const { writeHtml } = await import("../html/html.ts");
    await writeHtml(report, options.html);
  }
  const wrong = report.rows.filter(({ status }) => status === "wrong").length;
  if (wrong > 0) {
    complain(`${wrong} of ${report.rows.length} results are wrong and were not timed: see the table`);
    process.exitCode ??= 1;
  }
}

function describe({ adapter: { name, description, software } }: Gpu, roofline: Roofline): Run {
  return {
    schema: SCHEMA,
    complete: true,
    date: new Date().toISOString(),
    versions: { shadenet: ownVersion(), node: process.versions.node, dawn: versionOf("webgpu") ?? "unknown" },
    adapter: { name, description, software },
    machine: { cpu: cpus()[0]?.model.trim() ?? "unknown", cores: availableParallelism() },
    roofline,
  };
}

async function readOlder<R extends Report>(path: string, kind: R["kind"]): Promise<R> {
  const text = await readFile(path, "utf8").catch((cause) => {
    throw fileError("read", path, cause);
  });
  return readReport<R>(text, path, kind);
}
