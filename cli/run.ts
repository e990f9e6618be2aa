import type { Command } from "commander";
import { inputShape, trace } from "../engine/definition.ts";
import type { Dtype } from "../engine/ground/options.ts";
import { formatShape, sameShape } from "../engine/ground/tensor.ts";
import { listNames } from "../engine/weights/checkpoint.ts";
import {
  encodeSafetensors,
  fileSource,
  GpuError,
  openCheckpoint,
  ShapeError,
  type Tensor,
  UsageError,
  WeightsError,
} from "../index.ts";
import {
  type CommonOptions,
  type Context,
  command,
  dtypeOption,
  nameList,
  weightsKeyOption,
  weightsOption,
} from "../tools/command.ts";
import { refuseOverwriting, writeWhole } from "../tools/files.ts";
import { columns, duration } from "../tools/format.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { NET_HELP, netNamed, openNet } from "../tools/session.ts";
import { errorFacts, fail, print, printJson } from "../tools/terminal.ts";

interface Options extends CommonOptions {
  readonly net: string;
  readonly weights?: string;
  readonly weightsKey?: string;
  readonly input: string;
  readonly output: string;
  readonly features?: readonly string[];
  readonly dtype: Dtype;
}

export function runCommand(context: Context): Command {
  const running = command(
    "run",
    "run a net on a raw tensor; logits and features come out",
    "npx shadenet run --net lenet5 --input x.safetensors --output y.safetensors --features conv1,pool1",
  )
    .requiredOption("--net <name>", NET_HELP)
    .addOption(weightsOption())
    .addOption(weightsKeyOption())
    .requiredOption("--input <file>", 'a .safetensors file with one tensor, or one called "x" or "input": [N, C, H, W]')
    .requiredOption("--output <file>", "the .safetensors file to write")
    .option("--features <names>", "layers whose outputs are wanted, too: a,b,c", nameList)
    .addOption(dtypeOption());
  return addNetOptions(running).action((options: Options) => run(options, context));
}

async function run(options: Options, context: Context): Promise<void> {
  const { features = [], weights, weightsKey, dtype } = options;
  const definition = await netNamed(options.net);
  await refuseOverwriting(options.output, [options.input, options.weights]);
  const x = await readInput(options.input);
  const [batch, inChannels, height, width] = x.shape;
  // What is not said is read off the tensor.
  const built = { batch, inChannels, imageSize: [height, width] as const, ...netOptionsOf(definition, options) };
  // All that can be wrong without a GPU is found before one is opened.
  const wanted = inputShape(definition, built);
  if (!sameShape(x.shape, wanted)) {
    throw new ShapeError(`${options.input} holds ${formatShape(x.shape)}; the options ask for ${formatShape(wanted)}`);
  }
  const graph = trace(definition, built);
  const unknown = features.find((name) => !graph.names.has(name));
  if (unknown !== undefined) {
    const layers = [...graph.names.keys()].join(", ");
    throw new UsageError(`${options.net} has no layer "${unknown}"; it has ${layers}`);
  }
  const { gpu, net, close } = await openNet(definition, { ...built, weights, weightsKey, dtype }, context);
  try {
    const start = performance.now();
    const result = await net.run(x, { features });
    const milliseconds = performance.now() - start;
    context.signal.throwIfAborted();
    const tensors = new Map<string, Tensor>([["logits", result.logits], ...Object.entries(result.features)]);
    await writeWhole(options.output, (file) => file.writeFile(encodeSafetensors(tensors)));
    const shapes = Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape]));
    const error = result.logits.data.every(Number.isFinite)
      ? undefined
      : new GpuError("OVERFLOW", `the logits in ${options.output} have NaN or infinities; they mean nothing`);
    if (options.json) {
      printJson({
        net: options.net,
        adapter: gpu.adapter.name,
        input: x.shape,
        output: options.output,
        shapes,
        milliseconds,
        ...(error && { error: errorFacts(error) }),
      });
    } else {
      print(`${options.net} on ${formatShape(x.shape)}: ${duration(milliseconds)} on ${gpu.adapter.name}`);
      print(`written to ${options.output}:`);
      const rows = Object.entries(shapes).map(([name, shape]) => [`  ${name}`, formatShape(shape)]);
      for (const line of columns(rows)) print(line);
    }
    // The file shows where they come from, so it is written all the same.
    if (error) fail(error);
  } finally {
    close();
  }
}

async function readInput(path: string): Promise<Tensor> {
  const file = await openCheckpoint(await fileSource(path));
  try {
    const names = [...file.tensors.keys()];
    const name = names.length === 1 ? names[0] : ["x", "input"].find((each) => file.tensors.has(each));
    if (name === undefined) {
      throw new WeightsError(`${path} must hold one tensor, or one called "x" or "input"; it has ${listNames(names)}`);
    }
    const shape = file.tensors.get(name)?.shape ?? [];
    if (shape.length !== 4) {
      throw new ShapeError(`${name} of ${path} is ${formatShape(shape)}; a net takes images [N, C, H, W]`);
    }
    return { shape, data: await file.read(name) };
  } finally {
    await file.close();
  }
}
