// npm run bench:peers: the same nets with the same weights in shadenet and other engines, on the same adapter in one run, in
// Node or in a browser. Every engine has a process of its own for every net, and they take turns.

import { Command } from "commander";
import { findNet, inputShape } from "../engine/definition.ts";
import { nets } from "../index.ts";
import { type Context, nameList, positiveInteger, positiveNumber } from "../tools/command.ts";
import { isMain } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import { checkEngines, compete, openProcesses } from "./peers/contest.ts";
import { IN_BROWSER, IN_NODE, namesOf } from "./peers/engines.ts";
import type { Effort } from "./peers/results.ts";

interface Options extends Effort {
  readonly nets: readonly string[];
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

async function compare({ nets, batch, engines, browser, ...options }: Options, context: Context): Promise<void> {
  const shapes = nets.map((net) => ({ net, shape: shapeOf(net, batch) }));
  const all = browser ? IN_BROWSER : IN_NODE;
  const names = checkEngines(engines ?? namesOf(all), all);
  const { openBrowsers: open } = browser ? await import("./peers/browser.ts") : { openBrowsers: openProcesses };
  await compete({ ...options, nets: shapes, engines: all, names, open, ...context });
}

/** The shape of a net's input; throws a UsageError that lists the nets when there is no such net. */
const shapeOf = (net: string, batch: number) => inputShape(findNet(nets, net), { batch });

if (isMain(import.meta.url)) await runProgram(peersCommand, process.argv.slice(2));
