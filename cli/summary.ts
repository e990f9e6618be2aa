import type { Command } from "commander";
import { inputShape, trace } from "../engine/definition.ts";
import { formatShape } from "../engine/ground/tensor.ts";
import { type EngineNeeds, type Shape, type Summary, summarize } from "../index.ts";
import { type CommonOptions, command, positiveInteger } from "../tools/command.ts";
import { columns, count, megabytes } from "../tools/format.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { NET_HELP, netNamed } from "../tools/session.ts";
import { paint, print, printJson } from "../tools/terminal.ts";

interface Options extends CommonOptions {
  readonly batch: number;
}

export function summaryCommand(): Command {
  const summary = command(
    "summary",
    "list the layers of a net with their shapes, parameters and memory",
    "npx shadenet summary resnet18",
  )
    .argument("<net>", NET_HELP)
    .option("--batch <n>", "images per run", positiveInteger, 1);
  return addNetOptions(summary).action(show);
}

async function show(name: string, options: Options): Promise<void> {
  const definition = await netNamed(name);
  const given = { batch: options.batch, ...netOptionsOf(definition, options) };
  const input = inputShape(definition, given);
  const summary = summarize(trace(definition, given));
  if (options.json) printJson({ net: name, input, ...summary });
  else for (const line of describe(name, input, summary)) print(line);
}

function describe(name: string, input: Shape, { layers, engine, ...totals }: Summary): string[] {
  const [header, ...rows] = columns(
    [
      ["Layer", "Operator", "Output shape", "Parameters", "Multiply-adds"],
      ...layers.map((layer) => [
        layer.name || "-",
        layer.operator,
        formatShape(layer.shape),
        layer.parameters ? count(layer.parameters) : "-",
        layer.multiplyAdds ? count(layer.multiplyAdds) : "-",
      ]),
    ],
    [3, 4],
  );
  const rule = paint("dim", "─".repeat(header.length));
  const facts = [
    ["Parameters", count(totals.parameters)],
    ["Multiply-adds", count(totals.multiplyAdds)],
    ["Input", megabytes(totals.inputSize)],
    ["Forward and backward pass", megabytes(totals.passSize)],
    ["Parameters, in float32", megabytes(totals.parameterSize)],
    ["Estimated total", megabytes(totals.totalSize)],
  ];
  const needs = [
    ["Weights", megabytes(engine.weights)],
    ["Activations, after fusion", `${megabytes(engine.activations)}, ${ratio(engine)}`],
    ["Dispatches per run", count(engine.steps)],
    ...(engine.problem ? [["Default limits", `too small: ${engine.problem}`]] : []),
  ];
  return [
    `${paint("bold", name)} on ${formatShape(input)}`,
    "",
    paint("bold", header),
    rule,
    ...rows,
    rule,
    ...columns(facts),
    "",
    paint("bold", "On the GPU, planned by shadenet"),
    ...columns(needs),
  ];
}

const ratio = ({ activations, activationLowerBound: least }: EngineNeeds): string =>
  `${(activations / least).toFixed(2)} times the least possible, ${megabytes(least)}`;
