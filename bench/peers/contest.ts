import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { unpackSwiftShader } from "../../engine/node/embedded.ts";
import { encodeJson } from "../../engine/tuning/figures.ts";
import { type AdapterSummary, FileError, UsageError } from "../../index.ts";
import type { Context } from "../../tools/command.ts";
import { checkPlace, writeWhole } from "../../tools/files.ts";
import { packageFile } from "../../tools/package.ts";
import { openDevice } from "../../tools/session.ts";
import { complain, openProgress, paint, print } from "../../tools/terminal.ts";
import { compareNet, type Measured, type NetJob, type Place, type Setting } from "./compare.ts";
import { type Contender, contendersOf, type EngineName, type Engines, type Job, nameOf, namesOf } from "./engines.ts";
import { missingPackages, versionOf } from "./packages.ts";
import { type ProcessOptions, WorkerProcess } from "./process.ts";
import { type Effort, type PeerRow, statistics, table } from "./results.ts";

// What bench:peers and bench:train share: engines are compared with one net after the other, and rows are told.

type Limits = Pick<ProcessOptions, "timeout"> & Context;

/** Where the engines run. */
export interface Places {
  readonly adapter: AdapterSummary;
  readonly maxBinding: number;
  /** The name of the browser, if it is one. */
  readonly browser?: string;
  /** Where contenders find the files of the folder. */
  readonly base: string;
  start(job: Job): Place;
  close(): void;
}

export interface Contest extends Effort, Limits {
  readonly nets: readonly NetJob[];
  /** All that could take part, and the names of those that do. */
  readonly engines: Engines;
  readonly names: readonly EngineName[];
  open(folder: string, limits: Limits): Promise<Places>;
  /** Lines about the run, over its table. */
  readonly notes?: readonly string[];
  /** Files to write rows into. */
  readonly json?: string;
  readonly html?: string;
}

/** The engines of these names. Throws a UsageError that lists the engines when there is no such one. */
export function checkEngines(names: readonly string[], engines: Engines): EngineName[] {
  const isKnown = (name: string): name is EngineName => Object.hasOwn(engines, name);
  const unknown = names.find((name) => !isKnown(name));
  if (unknown === undefined) return names.filter(isKnown);
  throw new UsageError(`there is no engine "${unknown}"; there are ${namesOf(engines).join(", ")}`);
}

/** Compares engines and prints what came of it. */
export async function compete(contest: Contest): Promise<void> {
  // All that can be wrong is found before anything is measured.
  const { nets, engines, names, json, html } = contest;
  for (const path of [json, html]) if (path !== undefined) await checkPlace(path);
  checkInstalled(names, engines);
  const contenders = contendersOf(engines, names);

  const rows: PeerRow[] = [];
  const folder = await mkdtemp(join(tmpdir(), "shadenet-peers-"));
  let places: Places | undefined;
  let failure: unknown;
  try {
    places = await contest.open(folder, contest);
    const { adapter, browser } = places;
    const setting: Setting = { ...contest, ...places, contenders, folder, software: adapter.software };
    const progress = await openProgress("Comparing");
    try {
      for (const [i, each] of nets.entries()) {
        const onProgress = (share: number) => progress.update(i + share, nets.length);
        const measured = await compareNet(each, setting, onProgress);
        const { net, shape, training } = each;
        const common = { net, batch: shape[0], training, browser };
        rows.push(...measured.map((one) => ({ ...rowOf(one, engines, adapter), ...common })));
      }
    } finally {
      progress.stop();
    }
  } catch (error) {
    failure = error;
  } finally {
    places?.close();
    await rm(folder, { recursive: true, force: true });
  }
  // What was measured before a failure, or before Ctrl-C, is told none the less.
  if (places && rows.length > 0) await report(rows, places, contest);
  if (failure) throw failure;
}

function checkInstalled(names: readonly EngineName[], engines: Engines): void {
  const missing = missingPackages(engines, names);
  if (missing.length === 0) return;
  const are = missing.length === 1 ? "is" : "are";
  throw new FileError(`${missing.join(", ")} ${are} not installed: run npm ci --prefix bench/peers`);
}

/** Switches off the caches that drivers keep of compiled shaders, Mesa's and NVIDIA's, and ONNX Runtime's telemetry. */
const ENVIRONMENT = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0", ORT_DISABLE_TELEMETRY: "1" };

const NODE = { program: new URL("./child.js", import.meta.url) };
const PYTHON = { program: pathToFileURL(packageFile("bench/peers/training/pytorch.py")), command: "python3" };

/** Processes on the adapter that shadenet takes. Throws a GpuError where there is none. */
export async function openProcesses(base: string, limits: Limits): Promise<Places> {
  const gpu = await openDevice(limits);
  gpu.close();
  const { adapter, traits } = gpu;
  const software = adapter.fallback === undefined ? undefined : await unpackSwiftShader();
  return {
    adapter,
    maxBinding: traits.maxBinding,
    base,
    start(job) {
      const { program, ...command } = job.engine === "pytorch" ? PYTHON : NODE;
      return new WorkerProcess(program, job, {
        ...limits,
        ...command,
        env: { ...ENVIRONMENT, ...driverOf(job, software) },
      });
    },
    close() {},
  };
}

/**
 * ONNX Runtime opens a driver by itself: the system's, unless it is led to the software one that comes from npm, which
 * is in this folder.
 */
function driverOf({ engine, provider }: Contender, folder: string | undefined): Record<string, string> {
  if (engine !== "onnxruntime" || provider !== "webgpu" || folder === undefined) return {};
  const driver = join(folder, "vk_swiftshader_icd.json");
  return { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: folder };
}

function rowOf(
  { contender, coldMs, times, agreesWith, error }: Measured,
  engines: Engines,
  adapter: AdapterSummary,
): Omit<PeerRow, "net" | "batch" | "training" | "browser"> {
  const version = versionOf(engines, contender.engine);
  const where = contender.provider === "webgpu" ? adapter.name : (cpus()[0]?.model.trim() ?? "unknown CPU");
  return { ...contender, version, adapter: where, coldMs, ...statistics(times), agreesWith, error };
}

async function report(
  rows: readonly PeerRow[],
  { adapter, browser }: Places,
  { notes = [], json, html }: Contest,
): Promise<void> {
  if (json !== undefined) await writeWhole(json, (file) => file.writeFile(encodeJson(rows)));
  const where = [`${adapter.name}${adapter.software ? " (software)" : ""}`, ...(browser ? [browser] : [])];
  print(where.join(", "));
  const versions = new Map(rows.map(({ engine, version }) => [engine, version]));
  print([...versions].map(([engine, version]) => `${engine} ${version}`).join(", "));
  for (const note of notes) print(note);
  print();
  const [header, ...body] = table(rows, nameOf);
  print(paint("bold", header));
  for (const line of body) print(line);
  if (html !== undefined) await (await import("../html/html.ts")).writeHtml(rows, html);
  for (const { net, error } of rows.filter(({ engine, error }) => engine === "shadenet" && error)) {
    complain(`shadenet failed with ${net}: ${error}`);
    process.exitCode = 1;
  }
}
