// npm run bench:peers: the same nets with the same weights in shadenet and other engines, on the same adapter in one run, in
// Node or in a browser. Every engine has a process of its own for every net, and they take turns.

import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { findNet, inputShape } from "../engine/definition.ts";
import { unpackSwiftShader } from "../engine/node/embedded.ts";
import { encodeJson } from "../engine/tuning/figures.ts";
import { type AdapterSummary, FileError, nets, UsageError } from "../index.ts";
import { type Context, nameList, positiveInteger } from "../tools/command.ts";
import { checkPlace, writeWhole } from "../tools/files.ts";
import { isMain } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import { openDevice } from "../tools/session.ts";
import { complain, openProgress, paint, print } from "../tools/terminal.ts";
import { compareNet, type Measured, type Place, type Setting } from "./peers/compare.ts";
import {
  type Contender,
  contendersOf,
  type EngineName,
  type Engines,
  IN_BROWSER,
  IN_NODE,
  type Job,
  nameOf,
  namesOf,
} from "./peers/engines.ts";
import { missingPackages, versionOf } from "./peers/packages.ts";
import { type ProcessOptions, WorkerProcess } from "./peers/process.ts";
import { type Effort, type PeerRow, statistics, table } from "./peers/results.ts";

interface Options extends Effort {
  readonly nets: readonly string[];
  readonly batch: number;
  readonly engines?: readonly string[];
  readonly browser?: boolean;
  readonly timeout: number;
  readonly json?: string;
  readonly html?: string;
}

/** Where the engines run. */
interface Places {
  readonly adapter: AdapterSummary;
  readonly maxBinding: number;
  /** The name of the browser, if it is one. */
  readonly browser?: string;
  /** Where contenders find the files of the folder. */
  readonly base: string;
  start(job: Job): Place;
  close(): void;
}

export const peersCommand = ({ signal }: Context) =>
  new Command("bench:peers")
    .description("compare shadenet with other engines on the same adapter")
    .option("--nets <names>", "which nets: a,b,c", nameList, ["alexnet", "resnet18", "resnet50", "vgg16"])
    .option("--batch <n>", "images per run", positiveInteger, 1)
    .option("--browser", "in Chromium: an installed one, or the one that SHADENET_BROWSER names by its path")
    .option(
      "--engines <names>",
      `which of ${namesOf(IN_NODE).join(",")}; in a browser litert, too (default: all)`,
      nameList,
    )
    .option("--cold <n>", "cold starts of every engine per net", positiveInteger, 3)
    .option("--turns <n>", "turns of every engine per net at least", positiveInteger, 5)
    .option("--seconds <s>", "how long the slowest engine may run per net, beyond those", positiveInteger, 10)
    .option("--timeout <s>", "when to give an engine up that does not answer", positiveInteger, 300)
    .option("--json <file>", "write the results as JSON")
    .option("--html <file>", "write them as a page with charts")
    .option("--debug", "show where in the code an error came from")
    .addHelpText("after", "\nExample:\n  $ npm run bench:peers -- --nets resnet18,resnet50 --json peers.json")
    .action((options: Options) => compare(options, signal));

async function compare(options: Options, signal: AbortSignal): Promise<void> {
  // All that can be wrong is found before anything is measured.
  const shapes = options.nets.map((net) => ({ net, shape: shapeOf(net, options.batch) }));
  const all = options.browser ? IN_BROWSER : IN_NODE;
  const engines = checkEngines(options.engines ?? namesOf(all), all);
  for (const path of [options.json, options.html]) if (path !== undefined) await checkPlace(path);
  checkInstalled(engines, all);
  const contenders = contendersOf(all, engines);

  const rows: PeerRow[] = [];
  const folder = await mkdtemp(join(tmpdir(), "shadenet-peers-"));
  let places: Places | undefined;
  let failure: unknown;
  try {
    places = await openPlaces(folder, options, signal);
    const { adapter, browser } = places;
    const setting: Setting = { ...options, ...places, contenders, folder, software: adapter.software, signal };
    const progress = await openProgress("Comparing");
    try {
      for (const [i, net] of shapes.entries()) {
        const onProgress = (share: number) => progress.update(i + share, shapes.length);
        const measured = await compareNet(net, setting, onProgress);
        const common = { net: net.net, batch: options.batch, browser };
        rows.push(...measured.map((each) => ({ ...rowOf(each, all, adapter), ...common })));
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
  if (places && rows.length > 0) await report(rows, places, options);
  if (failure) throw failure;
}

/** The shape of a net's input; throws a UsageError that lists the nets when there is no such net. */
const shapeOf = (net: string, batch: number) => inputShape(findNet(nets, net), { batch });

function checkEngines(names: readonly string[], engines: Engines): EngineName[] {
  const isKnown = (name: string): name is EngineName => Object.hasOwn(engines, name);
  const unknown = names.find((name) => !isKnown(name));
  if (unknown === undefined) return names.filter(isKnown);
  throw new UsageError(`there is no engine "${unknown}"; there are ${namesOf(engines).join(", ")}`);
}

function checkInstalled(names: readonly EngineName[], engines: Engines): void {
  const missing = missingPackages(engines, names);
  if (missing.length === 0) return;
  const are = missing.length === 1 ? "is" : "are";
  throw new FileError(`${missing.join(", ")} ${are} not installed: run npm ci --prefix bench/peers`);
}

async function openPlaces(folder: string, { browser, timeout }: Options, signal: AbortSignal): Promise<Places> {
  const { openBrowsers } = browser ? await import("./peers/browser.ts") : { openBrowsers: openProcesses };
  return openBrowsers(folder, { timeout, signal });
}

/** Switches off the caches that drivers keep of compiled shaders, Mesa's and NVIDIA's, and ONNX Runtime's telemetry. */
const ENVIRONMENT = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0", ORT_DISABLE_TELEMETRY: "1" };

/** Processes of Node, on the adapter that shadenet takes. Throws a GpuError where there is none. */
async function openProcesses(base: string, options: Pick<ProcessOptions, "timeout" | "signal">): Promise<Places> {
  const gpu = await openDevice();
  gpu.close();
  const { adapter, traits } = gpu;
  const software = adapter.fallback === undefined ? undefined : await unpackSwiftShader();
  const program = new URL("./peers/child.js", import.meta.url);
  return {
    adapter,
    maxBinding: traits.maxBinding,
    base,
    start: (job) =>
      new WorkerProcess(program, job, { ...options, env: { ...ENVIRONMENT, ...driverOf(job, software) } }),
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
): Omit<PeerRow, "net" | "batch" | "browser"> {
  const version = versionOf(engines, contender.engine);
  const where = contender.provider === "webgpu" ? adapter.name : (cpus()[0]?.model.trim() ?? "unknown CPU");
  return { ...contender, version, adapter: where, coldMs, ...statistics(times), agreesWith, error };
}

async function report(
  rows: readonly PeerRow[],
  { adapter, browser }: Places,
  { batch, json, html }: Options,
): Promise<void> {
  if (json !== undefined) await writeWhole(json, (file) => file.writeFile(encodeJson(rows)));
  const where = [`${adapter.name}${adapter.software ? " (software)" : ""}`, ...(browser ? [browser] : [])];
  print(`${where.join(", ")}, batch ${batch}`);
  const versions = new Map(rows.map(({ engine, version }) => [engine, version]));
  print([...versions].map(([engine, version]) => `${engine} ${version}`).join(", "));
  print();
  const [header, ...body] = table(rows, nameOf);
  print(paint("bold", header));
  for (const line of body) print(line);
  if (html !== undefined) await (await import("./html/html.ts")).writeHtml(rows, html);
  for (const { net, error } of rows.filter(({ engine, error }) => engine === "shadenet" && error)) {
    complain(`shadenet failed with ${net}: ${error}`);
    process.exitCode = 1;
  }
}

if (isMain(import.meta.url)) await runProgram(peersCommand, process.argv.slice(2));
