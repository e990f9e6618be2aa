// npm run bench:peers: the same nets with the same weights in shadenet and other engines, on the same adapter in one run, in
// Node or in a browser. Every engine has a process of its own for every net, and they take turns.

import { resolve } from "node:path";
import { Command } from "commander";
import { findNet, inputShape } from "../engine/definition.ts";
import { openFile } from "../engine/node/files.ts";
import { openModel } from "../engine/onnx/load.ts";
import { nets, UsageError } from "../index.ts";
import { type Context, nameList, positiveInteger, positiveNumber } from "../tools/command.ts";
import { isMain } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import type { NetJob } from "./peers/compare.ts";
import { checkEngines, compete, openProcesses } from "./peers/contest.ts";
import { IN_BROWSER, IN_NODE, namesOf, OF_ONNX } from "./peers/engines.ts";
import type { Effort } from "./peers/results.ts";

interface Options extends Effort {
  readonly nets: readonly string[];
  readonly onnx?: string;
  readonly batch: number;
  readonly engines?: readonly string[];
  readonly browser?: boolean;
  readonly timeout: number;
  readonly json?: string;
  readonly html?: string;
}

export const peersCommand = (context: Context) =>
  new Command("bench:peers")
    .description("compare shadenet with other engines on the same adapter")
    .option("--nets <names>", "which nets: a,b,c", nameList, ["alexnet", "resnet18", "resnet50", "vgg16"])
    .option("--onnx <file>", "a model of images instead, in shadenet and ONNX Runtime")
    .option("--batch <n>", "images per run", positiveInteger, 1)
    .option("--browser", "in Chromium: an installed one, or the one that SHADENET_BROWSER names by its path")
    .option(
      "--engines <names>",
      `which of ${namesOf(IN_NODE).join(",")}; in a browser litert, too (default: all)`,
      nameList,
    )
    .option("--cold <n>", "cold starts of every engine per net", positiveInteger, 3)
    .option("--turns <n>", "turns of every engine per net at least", positiveInteger, 5)
    .option("--seconds <s>", "how long the slowest engine may run per net, beyond those", positiveNumber, 10)
    .option("--timeout <s>", "when to give an engine up that does not answer", positiveInteger, 300)
    .option("--json <file>", "write the results as JSON")
    .option("--html <file>", "write them as a page with charts")
    .option("--debug", "show where in the code an error came from")
    .addHelpText("after", "\nExample:\n  $ npm run bench:peers -- --nets resnet18,resnet50 --json peers.json")
    .action((options: Options) => compare(options, context));

async function compare(given: Options, context: Context): Promise<void> {
  const { nets, onnx, batch, engines, browser, ...options } = given;
  if (onnx && browser) throw new UsageError("--onnx is for Node: leave out --browser");
  const shapes = onnx ? [await jobOf(onnx, batch)] : nets.map((net) => ({ net, shape: shapeOf(net, batch) }));
  const all = browser ? IN_BROWSER : onnx ? OF_ONNX : IN_NODE;
  const names = checkEngines(engines ?? namesOf(all), all);
  const { openBrowsers: open } = browser ? await import("./peers/browser.ts") : { openBrowsers: openProcesses };
  await compete({ ...options, nets: shapes, engines: all, names, open, ...context });
}

/** Sizes that a model leaves open, but for the batch. */
const OPEN = [1, 3, 224, 224];

/** A model as a net. Throws a UsageError unless it has one input of four dimensions, and what openModel() throws. */
async function jobOf(file: string, batch: number): Promise<NetJob> {
  const path = resolve(file);
  const { model, name, close } = await openModel(path, openFile);
  await close();
  const [input, other] = model.inputs;
  const shape = (input?.shape ?? OPEN.map(() => undefined)).map((size, d) => size ?? (d === 0 ? batch : OPEN[d]));
  if (!input || other || shape.length !== OPEN.length) throw new UsageError(`${name} takes no images alone`);
  return { net: file.replace(/^.*[/\\]|\.onnx$/g, ""), shape, onnx: { path, input: input.name } };
}

/** The shape of a net's input; throws a UsageError that lists the nets when there is no such net. */
const shapeOf = (net: string, batch: number) => inputShape(findNet(nets, net), { batch });

if (isMain(import.meta.url)) await runProgram(peersCommand, process.argv.slice(2));
