import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { PNG } from "pngjs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fileSource, openCheckpoint } from "../../index.ts";
import { madeDigits } from "../engine/training/digits.ts";
import { inDepth } from "../harness.ts";
import { assertFails, eachFails, inFolder, inProcess, shadenet } from "./harness.ts";

/** MNIST's four files: 20 digits to train on, gzipped, and 10 others as they are. */
async function makeMnist(folder: string): Promise<void> {
  await mkdir(inFolder(folder), { recursive: true });
  const [trained, others] = [madeDigits(20), madeDigits(10)];
  const files = {
    "train-images-idx3-ubyte.gz": gzipSync(trained.images),
    "train-labels.idx1-ubyte.gz": gzipSync(trained.labels),
    "t10k-images-idx3-ubyte": others.images,
    "t10k-labels-idx1-ubyte": others.labels,
  };
  for (const [name, bytes] of Object.entries(files)) await writeFile(inFolder(`${folder}/${name}`), bytes);
}

/** Pictures of two classes: dark strokes that lie, and such that stand. */
async function makePictures(folder: string, count: number): Promise<void> {
  for (const name of ["lying", "standing"]) {
    await mkdir(inFolder(`${folder}/${name}`), { recursive: true });
    for (let n = 0; n < count; n++) {
      const png = new PNG({ width: 28, height: 28 });
      png.data.fill(255);
      for (let i = 0; i < 28 * 28; i++) {
        const [x, y] = [i % 28, Math.floor(i / 28)];
        const [along, across] = name === "lying" ? [x, y] : [y, x];
        if (along > 3 && along < 25 && Math.abs(across - 10 - (n % 8)) < 2) png.data.fill(0, 4 * i, 4 * i + 3);
      }
      await writeFile(inFolder(`${folder}/${name}/${n}.png`), PNG.sync.write(png));
    }
  }
}

await makeMnist("mnist");
await makePictures("strokes/train", 4);
await makePictures("strokes/val", 3);

const digits = ["train", "lenet5", "--data", "mnist", "--batch", "4"];
const linesOf = (stdout: string) =>
  stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const withoutTime = (lines: readonly object[]) => lines.map((line) => ({ ...line, seconds: 0 }));

async function metadataOf(file: string): Promise<Readonly<Record<string, string>>> {
  const { metadata = {}, close } = await openCheckpoint(await fileSource(inFolder(file)));
  await close();
  return metadata;
}

async function tensorsOf(file: string): Promise<Record<string, Float32Array>> {
  const checkpoint = await openCheckpoint(await fileSource(inFolder(file)));
  const names = [...checkpoint.tensors.keys()];
  const values = await Promise.all(names.map((name) => checkpoint.read(name)));
  await checkpoint.close();
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}

inDepth("LeNet-5 learns digits, a line an epoch; a training that is gone on with ends in the same bits", async () => {
  const options = ["--optimizer", "adam", "--lr", "0.005", "--seed", "5", "--json"];
  const whole = await shadenet([...digits, ...options, "--epochs", "4", "--out", "whole.safetensors"]);
  assert.equal([whole.code, whole.errors], [0, []]);
  const epochs = linesOf(whole.stdout);
  assert.equal(
    epochs.map(({ epoch, step, validation }) => [epoch, step, validation.count]),
    [1, 2, 3, 4].map((epoch) => [epoch, 5 * epoch, 10]),
  );
  assert.ok(epochs[3].loss < epochs[0].loss / 2, `${epochs[0].loss}, and then ${epochs[3].loss}`);
  assert.ok(epochs[3].validation.accuracy > 0.5, `${epochs[3].validation.accuracy}`);

  const first = await shadenet([...digits, ...options, "--epochs", "2", "--out", "half.safetensors"]);
  const second = await shadenet([
    ...digits,
    ...options,
    ...["--epochs", "4", "--resume", "half.safetensors", "--out", "half.safetensors"],
  ]);
  assert.equal([second.code, second.errors], [0, []]);
  assert.equal(withoutTime([...linesOf(first.stdout), ...linesOf(second.stdout)]), withoutTime(epochs));
  assert.equal(await tensorsOf("half.safetensors"), await tensorsOf("whole.safetensors"));

  const other = ["train", "lenet5", "--data", "mnist", "--batch", "5", "--resume", "half.safetensors"];
  assertFails(
    await shadenet(other),
    2,
    /half\.safetensors was trained 4 pictures a step, and cannot go on by 5: give --batch 4$/,
  );
  const again = await shadenet([...digits, ...options, "--epochs", "4", "--resume", "half.safetensors"]);
  assert.is(again.code, 0);
  assert.equal(again.errors.length, 2);
  assert.match(again.errors[1], /half\.safetensors has had its 4 epochs: give more --epochs to go on$/);
});

inDepth("what was trained on a folder of pictures tells its classes apart", async () => {
  const train = ["train", "lenet5", "--data", "strokes/train", "--validation", "strokes/val", "--batch", "4"];
  const options = ["--epochs", "10", "--schedule", "onecycle", "--lr", "0.05", "--out", "strokes.safetensors"];
  const { code, stdout, errors } = await shadenet([...train, ...options]);
  assert.equal([code, errors], [0, []]);
  const [head, gap, ...lines] = stdout.split("\n");
  assert.match(head, /^lenet5 on 8 pictures of 2 classes, 4 a step, on ./);
  assert.is(gap, "");
  const facts = "loss \\d\\.\\d{4}, accuracy +\\d+\\.\\d %";
  assert.match(lines[0], new RegExp(`^epoch  1 of 10   ${facts}   validation: ${facts}   \\d.* m?s$`));
  assert.match(lines[9], /^epoch 10 of 10 .*validation: loss 0\.\d+, accuracy 100\.0 %/);
  assert.equal(lines.slice(10), ["", "written to strokes.safetensors", ""]);
  assert.is((await metadataOf("strokes.safetensors")).classes, '["lying","standing"]');

  // The file says what its classes are; what the optimizer keeps stands beside the weights, and is no part of the net.
  const net = ["--weights", "strokes.safetensors"];
  const pictures = ["strokes/val/lying/1.png", "strokes/val/standing/2.png"];
  const classified = await shadenet(["classify", ...pictures, "--net", "lenet5", ...net, "--json"]);
  assert.equal([classified.code, classified.errors], [0, []]);
  const tops = JSON.parse(classified.stdout).map(({ top }: { top: { label: string }[] }) => top[0].label);
  assert.equal(tops, ["lying", "standing"]);
});

inDepth("only what --trainable names changes", async () => {
  const options = [
    "--epochs",
    "1",
    "--weights",
    "MNIST",
    "--trainable",
    "linear2|conv1\\.b",
    "--out",
    "head.safetensors",
  ];
  const { code } = await shadenet([...digits, ...options]);
  assert.is(code, 0);
  const before = await openCheckpoint(
    await fileSource(new URL("../../../nets/weights/lenet5.safetensors", import.meta.url)),
  );
  const after = await tensorsOf("head.safetensors");
  for (const name of before.tensors.keys()) {
    const isSame = Buffer.from((await before.read(name)).buffer).equals(Buffer.from(after[name].buffer));
    assert.is(isSame, !["linear2.weight", "linear2.bias", "conv1.bias"].includes(name), name);
  }
  await before.close();
});

inDepth("--clip-norm keeps a step small, whatever the learning rate; without it the error advises it", async () => {
  const options = ["--lr", "1e30", "--epochs", "1", "--json", "--out", "steep.safetensors"];
  const clipped = await shadenet([...digits, ...options, "--clip-norm", "1e-33"]);
  assert.equal([clipped.code, clipped.errors], [0, []]);
  assert.ok(linesOf(clipped.stdout)[0].loss < 3, clipped.stdout);
  await makePictures("flat", 2);
  const train = ["train", "squeezenet1_1", "--data", "flat", "--image-size", "32", "--batch", "2", ...options];
  assertFails(await shadenet(train), 1, /in step \d the loss is .*; try a smaller learning rate, or --clip-norm 1$/);
});

inDepth("a net for other classes begins with a last layer at random, and says so", async () => {
  const train = ["train", "lenet5", "--data", "strokes/train", "--batch", "8", "--epochs", "1", "--weights", "MNIST"];
  const { code, stdout } = await shadenet([...train, "--out", "two.safetensors"]);
  assert.is(code, 0);
  assert.match(stdout, /^lenet5 on 8 pictures .*; linear2\.weight, linear2\.bias begin at random\n/);
});

inDepth("Ctrl-C ends the step, saves, and exits with 130", async () => {
  const options = ["--epochs", "100000", "--out", "stopped.safetensors"];
  const { code, errors } = await inProcess([...digits, ...options, "--json"], {
    onOutput: (child) => child.kill("SIGINT"),
  });
  assert.is(code, 130);
  assert.is(errors.length, 1);
  const [, step] = /stopped after step (\d+); go on with --resume stopped\.safetensors$/.exec(errors[0]) ?? [];
  assert.ok(Number(step) >= 5, errors[0]);
  assert.is(JSON.parse((await metadataOf("stopped.safetensors")).training).steps, Number(step));
  const epochs = String(Math.floor(Number(step) / 5) + 1);
  const on = await shadenet([...digits, "--epochs", epochs, "--resume", "stopped.safetensors", "--json"]);
  assert.equal(
    linesOf(on.stdout).map((line) => line.epoch),
    [Number(epochs)],
  );
});

test("files that cannot be read are left out if that is asked for", async () => {
  await makePictures("mixed", 2);
  await writeFile(inFolder("mixed/lying/bad.jpg"), "no picture");
  const train = ["train", "lenet5", "--data", "mixed", "--epochs", "1", "--batch", "4", "--out", "m.safetensors"];
  const { code, errors } = await shadenet([...train, "--skip-unreadable"]);
  assert.is(code, 0);
  assert.is(errors.length, 1);
  assert.match(errors[0], /^shadenet: warning: left out: .*bad\.jpg is not an image that can be read: got a text file/);
  const refused = await shadenet([...train.slice(0, -4), "--batch", "5", "--out", "m.safetensors", "--json"]);
  assertFails(refused, 1, /bad\.jpg is not an image .*; --skip-unreadable leaves such files out$/);
});

test("what cannot be trained is told before the GPU is opened", async () => {
  const env = { SHADENET_ADAPTER: "none" };
  const fails = async (args: readonly string[], code: number, message: RegExp) =>
    assertFails(await shadenet(["train", ...args], { env }), code, message);
  await rm(inFolder("mnist/t10k-labels-idx1-ubyte"));
  const put =
    /MNIST is not in mnist or .*mnist: put t10k-images-idx3-ubyte\.gz and t10k-labels-idx1-ubyte\.gz there, from/;
  await fails(["lenet5", "--data", "mnist"], 1, put);
  await fails(["lenet5", "--data", "mnist:strokes"], 1, /MNIST is not in strokes: put train-images-idx3-ubyte\.gz and/);
  await makeMnist("mnist");
  await writeFile(
    inFolder("mnist/t10k-images-idx3-ubyte"),
    (await readFile(inFolder("mnist/t10k-images-idx3-ubyte"))).subarray(0, 99),
  );
  await fails(["lenet5", "--data", "mnist"], 1, /mnist.t10k-images-idx3-ubyte is cut short: it has 99 bytes of 7856/);
  await fails(
    ["resnet18", "--data", "mnist"],
    2,
    /digits are \[1, 1, 32, 32\], and resnet18 takes \[1, 3, 224, 224\]: train/,
  );
  await fails(["lenet5", "--data", "nowhere"], 1, /cannot read nowhere: there is no such file; wanted a folder with/);
  await fails(["lenet5", "--data", "strokes/val/lying"], 1, /lying has no folders in it; wanted/);
  const strokes = ["lenet5", "--data", "strokes/train"];
  await fails(
    [...strokes, "--validation", "strokes"],
    2,
    /strokes has 2 classes, and strokes\/train 2: both must have folders/,
  );
  await fails([...strokes, "--num-classes", "3"], 2, /strokes\/train has 2 classes: leave out --num-classes 3$/);
  await fails([...strokes, "--batch", "9"], 2, /a batch has 9 pictures, and strokes\/train only 8: give a smaller/);
  await fails([...strokes, "--out", "no/such/file"], 1, /cannot write no\/such\/file: its folder does not exist$/);
  await fails(
    [...strokes, "--resume", "a", "--weights", "b"],
    2,
    /'--resume <file>' cannot be used with option '--weights/,
  );
});

test("the help says what training begins with", async () => {
  const { code, stdout } = await shadenet(["train", "--help"]);
  assert.is(code, 0);
  const help = stdout.replace(/\s+/g, " ");
  assert.match(help, /--weights <file> [^-]* training begins at random if left out --/);
});

test("wrong usage", () =>
  eachFails([
    [["train", "lenet5"], 2, /required option '--data <path>' not specified/],
    [[...digits, "--trainable", "["], 2, /argument '\[' is invalid. It must be the beginning of a name, or/],
    [[...digits, "--lr", "-1"], 2, /must be a positive number/],
    [[...digits, "--weight-decay", "x"], 2, /must be a positive number/],
    [[...digits, "--seed", "1.5"], 2, /must be a whole number/],
    [[...digits, "--optimizer", "lion"], 2, /Allowed choices are sgd, adam, adamw/],
    [[...digits, "--schedule", "none"], 2, /Allowed choices are constant, cosine, step, onecycle/],
  ]));

test.run();
