// npm run bench:peers: the same nets with the same weights in ONNX Runtime, TensorFlow.js, jax-js and shadenet, on the
// same adapter in one run. Every engine has a process of its own for every net, and they take turns.

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
import { compareNet, type Measured, type Setting } from "./peers/compare.ts";
import {
  type Contender,
  contendersOf,
  ENGINE_NAMES,
  type EngineName,
  missingPackages,
  nameOf,
  versionOf,
} from "./peers/engines.ts";
import { type Effort, type PeerRow, statistics, table } from "./peers/results.ts";

interface Options extends Effort {
  readonly nets: readonly string[];
  readonly batch: number;
  readonly engines: readonly string[];
  readonly timeout: number;
  readonly json?: string;
  readonly html?: string;
}

export const peersCommand = ({ signal }: Context) =>
  new Command("bench:peers")
    .description("compare shadenet with other engines on the same adapter")
    .option("--nets <names>", "which nets: a,b,c", nameList, ["alexnet", "resnet18", "resnet50", "vgg16"])
    .option("--batch <n>", "images per run", positiveInteger, 1)
    .option("--engines <names>", `which engines: ${ENGINE_NAMES.join(",")}`, nameList, ENGINE_NAMES)
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
  const engines = checkEngines(options.engines);
  for (const path of [options.json, options.html]) if (path !== undefined) await checkPlace(path);
  checkInstalled(engines);
  const { adapter, maxBinding } = await probe();
  const contenders = contendersOf(engines);
  const software = adapter.fallback === undefined ? undefined : await unpackSwiftShader();
  const env = (contender: Contender) => driverOf(contender, software);
  const setting: Setting = { ...options, contenders, env, maxBinding, software: adapter.software, signal };

  const rows: PeerRow[] = [];
  const folder = await mkdtemp(join(tmpdir(), "shadenet-peers-"));
  const progress = await openProgress("Comparing");
  let failure: unknown;
  try {
    for (const [i, net] of shapes.entries()) {
      const onProgress = (share: number) => progress.update(i + share, shapes.length);
      const measured = await compareNet(net, folder, setting, onProgress);
      rows.push(...measured.map((each) => rowOf(net.net, options.batch, each, adapter)));
    }
  } catch (error) {
    failure = error;
  } finally {
    progress.stop();
    await rm(folder, { recursive: true, force: true });
  }
  // What was measured before a failure, or before Ctrl-C, is told none the less.
  if (rows.length > 0) await report(rows, adapter, options);
  if (failure) throw failure;
}

/** The shape of a net's input; throws a UsageError that lists the nets when there is no such net. */
const shapeOf = (net: string, batch: number) => inputShape(findNet(nets, net), { batch });

function checkEngines(names: readonly string[]): EngineName[] {
  const isKnown = (name: string): name is EngineName => (ENGINE_NAMES as readonly string[]).includes(name);
  const unknown = names.find((name) => !isKnown(name));
  if (unknown === undefined) return names.filter(isKnown);
  throw new UsageError(`there is no engine "${unknown}"; there are ${ENGINE_NAMES.join(", ")}`);
}

function checkInstalled(engines: readonly EngineName[]): void {
  const missing = missingPackages(engines);
  if (missing.length === 0) return;
  const are = missing.length === 1 ? "is" : "are";
  throw new FileError(`${missing.join(", ")} ${are} not installed: run npm ci --prefix bench/peers`);
}

/** The adapter that all engines will take. Throws a GpuError where there is none. */
async function probe() {
  const gpu = await openDevice();
  gpu.close();
  return { adapter: gpu.adapter, maxBinding: gpu.traits.maxBinding };
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
  net: string,
  batch: number,
  { contender, coldMs, times, agreesWith, error }: Measured,
  adapter: AdapterSummary,
): PeerRow {
  const version = versionOf(contender.engine);
  const where = contender.provider === "cpu" ? (cpus()[0]?.model.trim() ?? "unknown CPU") : adapter.name;
  return { ...contender, version, adapter: where, net, batch, coldMs, ...statistics(times), agreesWith, error };
}

async function report(
  rows: readonly PeerRow[],
  adapter: AdapterSummary,
  { batch, json, html }: Options,
): Promise<void> {
  if (json !== undefined) await writeWhole(json, (file) => file.writeFile(encodeJson(rows)));
  print(`${adapter.name}${adapter.software ? " (software)" : ""}, batch ${batch}`);
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
