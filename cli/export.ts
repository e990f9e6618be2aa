import type { Command } from "commander";
import { findNet } from "../engine/definition.ts";
import { formatDims, OPSET, traceOnnx } from "../engine/onnx/export.ts";
import { exportOnnx, nets } from "../index.ts";
import { onnxOperators } from "../kernels/onnx.ts";
import {
  type CommonOptions,
  type Context,
  command,
  nameList,
  positiveInteger,
  weightsKeyOption,
  weightsOption,
} from "../tools/command.ts";
import { refuseOverwriting, writeWhole } from "../tools/files.ts";
import { columns, megabytes } from "../tools/format.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { openProgress, print, printJson } from "../tools/terminal.ts";

interface Options extends CommonOptions {
  readonly weights?: string;
  readonly weightsKey?: string;
  readonly batch?: number;
  readonly outputs: readonly string[];
}

export function exportCommand(context: Context): Command {
  const exporting = command(
    "export",
    "write a net with its weights as an ONNX model, for other runtimes",
    "npx shadenet export resnet18 resnet18.onnx --weights resnet18.pth",
  )
    .argument("<net>", `one of ${Object.keys(nets).join(", ")}`)
    .argument("<out>", "the .onnx file to write")
    .addOption(weightsOption())
    .addOption(weightsKeyOption())
    .option("--batch <n>", "images per run; any number if left out", positiveInteger)
    .option("--outputs <names>", "what the model returns: logits, probabilities, layers: a,b,c", nameList, ["logits"]);
  return addNetOptions(exporting).action((net: string, output: string, options: Options) =>
    exportNet(net, output, options, context),
  );
}

async function exportNet(net: string, output: string, given: Options, { signal }: Context): Promise<void> {
  const { weights, weightsKey, batch, outputs: names, json } = given;
  const definition = findNet(nets, net);
  const options = { batch, outputs: names, ...netOptionsOf(definition, given) };
  await refuseOverwriting(output, [weights]);
  // All that can be wrong without weights is found before they are read or downloaded.
  const { inputs, outputs } = traceOnnx(definition, options, onnxOperators);
  const progress = await openProgress(`Exporting ${net}`);
  let bytes = 0;
  try {
    await writeWhole(output, async (file) => {
      const onProgress = ({ loaded, total }: { loaded: number; total: number }) => progress.update(loaded, total);
      for await (const piece of exportOnnx(net, { ...options, weights, weightsKey, signal, onProgress })) {
        await file.appendFile(piece);
        bytes += piece.length;
      }
    });
  } finally {
    progress.stop();
  }
  if (json) return printJson({ net, output, bytes, opset: OPSET, inputs, outputs });
  print(`${net} written to ${output}: ${megabytes(bytes)}, ONNX with opset ${OPSET}`);
  const shapes = Object.entries({ ...inputs, ...outputs });
  for (const line of columns(shapes.map(([name, dims]) => [`  ${name}`, formatDims(dims)]))) print(line);
}
