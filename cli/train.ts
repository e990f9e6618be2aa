import { type Command, InvalidArgumentError, Option } from "commander";
import { findNet } from "../engine/definition.ts";
import { show } from "../engine/ground/errors.ts";
import { keptTraining } from "../engine/training/resume.ts";
import { cosineSchedule, oneCycleSchedule, type Schedule, stepSchedule } from "../engine/training/schedules.ts";
import type { EpochResult, Trainer } from "../engine/training/trainer.ts";
import { fileSource, nets, openCheckpoint, UsageError } from "../index.ts";
import {
  type CommonOptions,
  type Context,
  command,
  factor,
  positiveInteger,
  positiveNumber,
  weightsKeyOption,
  weightsOption,
  wholeNumber,
} from "../tools/command.ts";
import { checkPlace, refuseOverwriting, writeWhole } from "../tools/files.ts";
import { count, duration, percent } from "../tools/format.ts";
import { addNetOptions, netOptionsOf } from "../tools/net_options.ts";
import { openDevice } from "../tools/session.ts";
import { complain, openProgress, paint, print } from "../tools/terminal.ts";
import { isMnist, openDataset } from "./dataset.ts";

interface Options extends CommonOptions {
  readonly data: string;
  readonly validation?: string;
  readonly augment: boolean;
  readonly skipUnreadable?: boolean;
  readonly weights?: string;
  readonly weightsKey?: string;
  readonly trainable?: RegExp;
  readonly epochs: number;
  readonly batch: number;
  readonly optimizer: "sgd" | "adam" | "adamw";
  readonly lr?: number;
  readonly momentum?: number;
  readonly weightDecay?: number;
  readonly clipNorm?: number;
  readonly schedule: keyof typeof SCHEDULES;
  readonly seed: number;
  readonly out?: string;
  readonly resume?: string;
}

/** The learning rates of a training, by their names. */
const SCHEDULES = {
  constant:
    (lr: number): Schedule =>
    () =>
      lr,
  cosine: (lr: number, steps: number) => cosineSchedule(lr, steps),
  step: (lr: number, steps: number) => stepSchedule(lr, Math.ceil(steps / 3)),
  onecycle: (lr: number, steps: number) => oneCycleSchedule(lr, steps),
};

/** What an optimizer is given where nothing is asked for. */
const DEFAULTS = { sgd: { lr: 0.01, momentum: 0.9 }, adam: { lr: 0.001 }, adamw: { lr: 0.001 } };

export function trainCommand(context: Context): Command {
  const training = command(
    "train",
    "train a net on labelled pictures",
    "npx shadenet train lenet5 --data mnist --epochs 3 --out digits.safetensors",
    new Option("--json", "print a line of JSON for every epoch"),
  )
    .argument("<net>", `one of ${Object.keys(nets).join(", ")}`)
    .requiredOption("--data <path>", "a folder with a folder of pictures for each class, or mnist, or mnist:FOLDER")
    .option("--validation <path>", "the same, of pictures to measure the net on after every epoch; mnist has its own")
    .option("--no-augment", "do not train on parts of the pictures and turned ones, but on the whole")
    .option("--skip-unreadable", "leave files out that are no pictures, and classes without any")
    .addOption(weightsOption("training begins at random if left out"))
    .addOption(weightsKeyOption())
    .option("--trainable <pattern>", "train what has names that begin so: fc, or layer4|fc; all if left out", beginning)
    .option("--epochs <n>", "how often to go through the pictures, with those before --resume", positiveInteger, 10)
    .option("--batch <n>", "pictures per step", positiveInteger, 32)
    .addOption(new Option("--optimizer <name>", "PyTorch's").choices(Object.keys(DEFAULTS)).default("sgd"))
    .option("--lr <x>", "the learning rate; 0.01 for sgd and 0.001 for the others if left out", positiveNumber)
    .option("--momentum <x>", "of sgd; 0.9 if left out", factor)
    .option("--weight-decay <x>", "the optimizer's", factor)
    .option("--clip-norm <x>", "gradients are made smaller where the norm of all is over it", positiveNumber)
    .addOption(
      new Option("--schedule <name>", "of the learning rate; step takes a tenth of it after each third of the training")
        .choices(Object.keys(SCHEDULES))
        .default("constant"),
    )
    .option("--seed <n>", "what is drawn at random begins with it", wholeNumber, 0)
    .option("--out <file>", "the .safetensors file to write after every epoch")
    .addOption(new Option("--resume <file>", "what --out wrote, to go on from").conflicts("weights"));
  return addNetOptions(training).action((net: string, options: Options) => train(net, options, context));
}

/** Parser of a pattern for the beginnings of names. */
function beginning(text: string): RegExp {
  try {
    return new RegExp(`^(?:${text})`);
  } catch {
    throw new InvalidArgumentError("It must be the beginning of a name, or a regular expression for some.");
  }
}

async function train(net: string, options: Options, context: Context): Promise<void> {
  const { signal } = context;
  const { data, validation = isMnist(data) ? data : undefined, weights, weightsKey, resume, out, json } = options;
  const { augment, skipUnreadable, epochs, batch, seed, trainable } = options;
  const definition = findNet(nets, net);
  const given = { ...netOptionsOf(definition, options), weights, weightsKey };
  if (out !== undefined) {
    await checkPlace(out);
    await refuseOverwriting(out, [weights]);
  }
  // All that can be wrong with the pictures' folders is found before the GPU is opened.
  const open = (place: string, split: "train" | "t10k") =>
    openDataset(place, split, definition, { ...given, signal }, { augment, skipUnreadable });
  const dataset = await open(data, "train");
  const validated = validation === undefined ? undefined : await open(validation, "t10k");
  const { size, classes } = dataset;
  if (validated && classes.join("\n") !== validated.classes.join("\n")) {
    const counts = `${validation} has ${validated.classes.length} classes, and ${data} ${classes.length}`;
    throw new UsageError(`${counts}: both must have folders of the same names`);
  }
  const { numClasses = classes.length } = given as { readonly numClasses?: number };
  if (numClasses !== classes.length)
    throw new UsageError(`${data} has ${classes.length} classes: leave out --num-classes ${numClasses}`);
  const total = Math.floor(size / batch);
  if (total === 0)
    throw new UsageError(`a batch has ${batch} pictures, and ${data} only ${size}: give a smaller --batch`);
  if (resume !== undefined) await checkBatch(resume, batch);
  if (out === undefined) complain("warning: what is learnt is not kept: give --out FILE");

  const gpu = await openDevice(context);
  let trainer: Trainer | undefined;
  const save = async () => {
    const bytes = await trainer?.save({ classes });
    if (out !== undefined && bytes) await writeWhole(out, (file) => file.writeFile(bytes));
  };
  let progress = await openProgress(`Loading ${net}`);
  try {
    trainer = await gpu.train(net, {
      ...given,
      numClasses,
      batch,
      trainable,
      seed,
      resume,
      optimizer: optimizerOf(options, epochs * total),
      signal,
      onProgress: ({ loaded, total }) => progress.update(loaded, total),
    });
    progress.stop();
    const pictures = `${count(size)} pictures of ${classes.length} classes`;
    const begun =
      weights !== undefined && trainer.fresh.length > 0 ? `; ${trainer.fresh.join(", ")} begin at random` : "";
    if (!json) print(`${paint("bold", net)} on ${pictures}, ${batch} a step, on ${gpu.adapter.name}${begun}\n`);
    progress = await openProgress("Training");
    const onProgress = ({ loaded, total }: { loaded: number; total: number }) => progress.update(loaded, total);
    let last: EpochResult | undefined;
    for await (const result of trainer.fit(dataset, { epochs, validation: validated, signal, onProgress })) {
      progress.stop();
      if (out !== undefined) await save();
      print(json ? JSON.stringify(result) : describe(result, epochs));
      last = result;
      progress = await openProgress("Training");
    }
    if (!last) complain(`${resume} has had its ${epochs} epochs: give more --epochs to go on`);
    else if (out !== undefined && !json) print(`\nwritten to ${out}`);
  } catch (error) {
    progress.stop();
    // The step at hand was ended.
    if (signal.aborted && trainer && out !== undefined) {
      await save();
      complain(`stopped after step ${trainer.steps}; go on with --resume ${out}`);
    }
    throw error;
  } finally {
    progress.stop();
    await trainer?.dispose();
    gpu.close();
  }
}

/** Steps are counted in batches: with others an epoch would end elsewhere. */
async function checkBatch(resume: string, batch: number): Promise<void> {
  const checkpoint = await openCheckpoint(await fileSource(resume));
  await checkpoint.close();
  const { batch: was = batch } = keptTraining(checkpoint) ?? {};
  if (was !== batch)
    throw new UsageError(
      `${resume} was trained ${show(was)} pictures a step, and cannot go on by ${batch}: give --batch ${show(was)}`,
    );
}

function optimizerOf(
  { optimizer: name, schedule, momentum, weightDecay, clipNorm, ...options }: Options,
  steps: number,
) {
  const { lr, ...others } = DEFAULTS[name];
  return {
    name,
    ...others,
    ...(momentum !== undefined && { momentum }),
    ...(weightDecay !== undefined && { weightDecay }),
    ...(clipNorm !== undefined && { clipNorm }),
    lr: SCHEDULES[schedule](options.lr ?? lr, steps),
  };
}

function describe({ epoch, loss, accuracy, validation, seconds }: EpochResult, epochs: number): string {
  const facts = (name: string, of: { loss: number; accuracy: number }) =>
    `${name}loss ${of.loss.toFixed(4)}, accuracy ${percent(of.accuracy)}`;
  return [
    `epoch ${String(epoch).padStart(String(epochs).length)} of ${epochs}`,
    facts("", { loss, accuracy }),
    ...(validation ? [facts("validation: ", validation)] : []),
    duration(1000 * seconds),
  ].join("   ");
}
