// The nets' own options and labels on the command line, and what is no answer.
import { readFile, writeFile } from "node:fs/promises";
import { Command } from "commander";
import { PNG } from "pngjs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { netOptions } from "../../engine/definition.ts";
import { encodeSafetensors, nets, type Tensor, UsageError } from "../../index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { flagOf, inFlags } from "../../tools/format.ts";
import { parseLabels } from "../../tools/labels.ts";
import { addNetOptions, netOptionsOf } from "../../tools/net_options.ts";
import { packageFile } from "../../tools/package.ts";
import { refuses } from "../harness.ts";
import { assertFails, eachFails, inFolder, inProcess, shadenet } from "./harness.ts";

const digit = packageFile("examples/digits/digit-1-a.png");

/** Weights of a net in a file, changed at will. */
async function writeWeights(file: string, name: string, options: object, change = (_: Map<string, Tensor>) => {}) {
  const weights = randomWeights(nets[name], options);
  const tensors = new Map<string, Tensor>();
  for (const [key, { shape }] of weights.tensors) tensors.set(key, { shape, data: await weights.read(key) });
  change(tensors);
  await writeFile(inFolder(file), encodeSafetensors(tensors));
}

await writeWeights("two.safetensors", "lenet5", { numClasses: 2 });

const parse = (args: readonly string[]) => addNetOptions(new Command()).parse(args, { from: "user" }).opts();

test("every option of every net can be given, and is the net's", async () => {
  for (const definition of Object.values(nets)) {
    for (const [name, value] of Object.entries(definition.options)) {
      const kind = typeof value;
      const [text, wanted] =
        kind === "boolean"
          ? [[], true]
          : kind === "number"
            ? [["7"], 7]
            : [["size=3,alpha=2e-4"], { size: 3, alpha: 2e-4 }];
      const given = netOptionsOf(definition, parse([flagOf(name), ...text]));
      assert.equal(given, { [name]: wanted });
      assert.equal(netOptions(definition, given), { ...definition.options, ...given });
    }
    assert.equal(netOptionsOf(definition, parse([])), {});
  }
  await refuses(
    async () => netOptionsOf(nets.lenet5, parse(["--conv-bias"])),
    UsageError,
    "USAGE",
    /^lenet5 has no option --conv-bias; it has --in-channels, --num-classes, --image-size$/,
  );
});

test("all commands that take a net have them", async () => {
  const commands = ["classify", "run", "train", "summary", "profile", "tune", "export"];
  for (const name of commands) {
    const { stdout } = await shadenet([name, "--help"]);
    for (const flag of ["--num-classes", "--in-channels", "--conv-bias", "--lrn", "--image-size"])
      assert.match(stdout, `  ${flag}`, name);
  }
  const { stdout } = await inProcess(["--help"], { main: packageFile("dist/bench/eval.js") });
  for (const flag of ["--num-classes", "--weights"]) assert.match(stdout, `  ${flag}`);
  const env = { SHADENET_ADAPTER: "none" };
  const summary = async (...args: string[]) =>
    JSON.parse((await shadenet(["summary", ...args, "--json"], { env })).stdout);
  assert.equal((await summary("lenet5", "--in-channels", "3")).input, [1, 3, 32, 32]);
  const plain = await summary("resnet18");
  assert.ok((await summary("resnet18", "--conv-bias")).parameters > plain.parameters);
  assertFails(await shadenet(["summary", "vgg11_lrn", "--lrn", "sizes=3"], { env }), 2, /lrn has no option "sizes"/);
  assertFails(await shadenet(["summary", "vgg11_lrn", "--lrn", "size=x"], { env }), 2, /must be names and numbers/);
  const tuned = await shadenet(["tune", "lenet5", "--num-classes", "3", "--in-channels", "2", "--runs", "1", "--json"]);
  assert.equal(JSON.parse(tuned.stdout).input, [1, 2, 32, 32]);
  const exported = ["export", "lenet5", "two.onnx", "--weights", "two.safetensors", "--num-classes", "2", "--json"];
  assert.equal(JSON.parse((await shadenet(exported)).stdout).outputs, { logits: ["N", 2] });
});

test("a message names the option that there is", () => {
  assert.is(inFlags("pass the option numClasses: 2"), "pass --num-classes 2");
  assert.is(inFlags('pass the option dtype: "f32"; or'), "pass --dtype f32; or");
  assert.is(inFlags("the options are a: b"), "the options are a: b");
});

test("labels: a line each, or JSON as others write it", () => {
  const pair = ["cat", "dog"];
  const texts = [
    "cat\ndog",
    "\uFEFFcat\r\ndog\r\n\r\n",
    '["cat", "dog"]',
    '{"0": "cat", "1": "dog"}',
    '{"1": "dog", "0": "cat"}',
    '{"0": ["n02123045", "cat"], "1": ["n02085620", "dog"]}',
    '{"cat": 0, "dog": 1}',
  ];
  for (const text of texts) assert.equal(parseLabels(text), pair, text);
  for (const text of [
    "",
    "\n",
    "[",
    "[1]",
    '{"0": "cat", "2": "dog"}',
    '{"cat": 0, "dog": 0}',
    '{"a": "b"}',
    "\0",
    "{}{}",
  ])
    assert.is(parseLabels(text), undefined, text);
});

test("a net with another last layer: its classes by number, or by the labels that are given", async () => {
  const using = (...more: string[]) => ["classify", digit, "--weights", "two.safetensors", ...more];
  const two = ["--num-classes", "2"];
  const labelsOf = async (...more: string[]) => {
    const { code, stdout, errors } = await shadenet(using(...more, "--json"));
    assert.equal([code, errors], [0, []]);
    const [{ top }] = JSON.parse(stdout);
    return top
      .sort((a: { index: number }, b: { index: number }) => a.index - b.index)
      .map(({ label }: { label: string }) => label);
  };
  await writeFile(inFolder("labels.txt"), "cat\ndog\n");
  await writeFile(inFolder("labels.json"), '{"cat": 0}');
  await writeFile(inFolder("none.json"), "{");
  await writeFile(inFolder("three.txt"), "cat\ndog\nowl\n");
  for (const count of [[], two]) {
    assert.equal(await labelsOf(...count), ["class 0", "class 1"]);
    assert.equal(await labelsOf(...count, "--labels", "labels.txt"), ["cat", "dog"]);
  }
  await eachFails([
    [using("--num-classes", "3"), 1, /it was trained for 2 classes: pass --num-classes 2$/],
    [using("--labels", "three.txt"), 1, /it was trained for 2 classes: pass --num-classes 2$/],
    [
      ["classify", digit, "--labels", "labels.txt"],
      2,
      /lenet5 has 10 classes and got 2 labels: give one for each, or another number of classes$/,
    ],
    [using(...two, "--labels", "labels.json"), 2, /2 classes and got 1 labels/],
    [using(...two, "--labels", "none.json"), 1, /none\.json holds no labels; wanted one a line, or JSON/],
    [using(...two, "--labels", "nowhere.txt"), 1, /cannot read nowhere\.txt: there is no such file/],
  ]);
});

test("a photo without --net: what the default reads, and what to ask for", async () => {
  const photo = new PNG({ width: 40, height: 30 });
  for (let i = 0; i < photo.data.length; i += 4) photo.data.set([200, i % 250, 40, 255], i);
  await writeFile(inFolder("photo.png"), PNG.sync.write(photo));
  const plain = await shadenet(["classify", "photo.png", "photo.png", digit]);
  assert.is(plain.code, 0);
  assert.is(plain.errors.length, 1);
  assert.match(
    plain.errors[0],
    /lenet5, the net if none is asked for, reads handwritten digits; for photos ask .* --net/,
  );
  const asked = await shadenet(["classify", "photo.png", "--net", "lenet5"]);
  assert.equal([asked.code, asked.errors], [0, []]);
});

test("NaN and infinities in the weights are an error, whatever is asked for", async () => {
  for (const [file, value] of [
    ["nan", Number.NaN],
    ["inf", Infinity],
  ] as const) {
    const weights = `${file}.safetensors`;
    await writeWeights(weights, "lenet5", {}, (tensors) => tensors.get("linear2.weight")?.data.fill(value));
    const { code, stdout, errors } = await shadenet(["classify", digit, digit, "--weights", weights, "--json"]);
    assert.is(code, 1);
    assert.match(errors[0], /warning: linear2\.weight of .* has NaN or infinities in it/);
    assert.is(errors.length, 3);
    for (const { error } of JSON.parse(stdout)) {
      assert.is(error.code, "OVERFLOW");
      assert.match(error.message, /^lenet5 answers NaN: its weights or its input/);
    }
    await writeFile(
      inFolder("x.safetensors"),
      encodeSafetensors(new Map([["x", { shape: [1, 1, 32, 32], data: new Float32Array(1024).fill(1) }]])),
    );
    const args = [
      "run",
      "--net",
      "lenet5",
      "--weights",
      weights,
      "--input",
      "x.safetensors",
      "--output",
      "y.safetensors",
    ];
    const run = await shadenet([...args, "--json"]);
    assert.is(run.code, 1);
    assert.match(run.errors.at(-1) ?? "", /the logits in y\.safetensors have NaN or infinities/);
    assert.is(JSON.parse(run.stdout).error.code, "OVERFLOW");
    assert.ok((await readFile(inFolder("y.safetensors"))).length > 0);
  }
  const sized = ["run", "--net", "lenet5", "--input", "x.safetensors", "--output", "z", "--image-size", "36"];
  assertFails(await shadenet(sized), 1, /x\.safetensors holds \[1, 1, 32, 32\]; the options ask for \[1, 1, 36, 36\]/);
});

test.run();
