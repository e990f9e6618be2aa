// npm run eval: LeNet-5 on the 10,000 test images of MNIST, with the weights that come with the package or others.

import { digitInputs } from "../engine/training/mnist.ts";
import { lenet5 } from "../nets/lenet.ts";
import { readMnist } from "../nets/weights/mnist.ts";
import { type CommonOptions, type Context, command, weightsOption } from "../tools/command.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { isMain } from "../tools/package.ts";
import { runProgram } from "../tools/program.ts";
import { openNet } from "../tools/session.ts";
import { complain, openProgress, print, printJson } from "../tools/terminal.ts";

const BATCH = 100;

/** Less than this share of right answers is a failure. */
const WANTED = 0.989;

interface Options extends CommonOptions {
  readonly weights?: string;
}

async function evaluate(options: Options, context: Context): Promise<void> {
  const { weights, json } = options;
  const { images, labels, count } = readMnist("test");
  const given = { batch: BATCH, weights, ...netOptionsOf(lenet5, options) };
  const { gpu, net, close } = await openNet(lenet5, given, context);
  const progress = await openProgress("Classifying MNIST");
  try {
    let right = 0;
    const start = performance.now();
    for (let first = 0; first < count; first += BATCH) {
      context.signal.throwIfAborted();
      const places = Array.from({ length: BATCH }, (_, i) => first + i);
      const { logits } = await net.run(digitInputs(images, places));
      const [, classes] = logits.shape;
      for (let i = 0; i < BATCH; i++) {
        if (argmax(logits.data.subarray(i * classes, (i + 1) * classes)) === labels[first + i]) right++;
      }
      progress.update(first + BATCH, count);
    }
    const seconds = (performance.now() - start) / 1000;
    progress.stop();
    const accuracy = right / count;
    if (json) {
      printJson({
        net: "lenet5",
        images: count,
        right,
        accuracy,
        wanted: WANTED,
        imagesPerSecond: count / seconds,
        adapter: gpu.adapter,
      });
    } else {
      print(`Accuracy  ${(100 * accuracy).toFixed(2)} %: ${right} of ${count} MNIST test images`);
      print(`Speed     ${Math.round(count / seconds)} images per second in batches of ${BATCH}`);
      print(`Adapter   ${gpu.adapter.name}${gpu.adapter.software ? " (software)" : ""}`);
    }
    if (accuracy < WANTED) {
      complain(`the accuracy is ${(100 * accuracy).toFixed(2)} %; it should be ${100 * WANTED} % at least`);
      process.exitCode = 1;
    }
  } finally {
    progress.stop();
    close();
  }
}

/** The first, if several are the largest. */
const argmax = (values: Float32Array): number => values.indexOf(Math.max(...values));

const evalCommand = (context: Context) =>
  addNetOptions(
    command("eval", "measure the accuracy of lenet5 on the test images of MNIST", "npm run eval -- --json").addOption(
      weightsOption(),
    ),
    [lenet5],
  ).action((options: Options) => evaluate(options, context));

if (isMain(import.meta.url)) await runProgram(evalCommand, process.argv.slice(2));
