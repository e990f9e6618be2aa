import { exec, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { link, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource, encodeSafetensors, fileSource, openCheckpoint, type Tensor } from "../../index.ts";
import { packageFile } from "../../tools/package.ts";
import { someOf } from "../harness.ts";
import { assertFails, eachFails, folder, inFolder, inProcess, MAIN, shadenet } from "./harness.ts";

const digit = (d: number) => packageFile(`examples/digits/digit-${d}-a.png`);

test("wrong usage: exit code 2, and what would be right", () =>
  eachFails([
    [
      ["clasify"],
      2,
      /unknown command 'clasify'; the commands are classify, run, train, summary, profile, tune, bench, convert, export, doctor, demo$/,
    ],
    [
      ["classify", "--tpo", "3", digit(1)],
      2,
      /unknown option '--tpo'; .* --json, .*--net, --weights, --weights-key, --labels, --top/,
    ],
    [["--jsno"], 2, /unknown option '--jsno'; .* --version, --help/],
    [["classify"], 2, /missing required argument 'image'; see shadenet classify --help/],
    [
      ["classify", digit(1), "--top", "0"],
      2,
      /'--top <n>' argument '0' is invalid. It must be a positive integer; see/,
    ],
    [["classify", digit(1), "--net", "lenet6"], 2, /no net "lenet6"; there are lenet5, alexnet, .*resnet152/],
    [["classify", digit(1), "--net", "alexnet"], 2, /alexnet comes without weights/],
    [["summary", "toString"], 2, /no net "toString"/],
    [["run", "--net", "lenet5"], 2, /required option '--input <file>' not specified/],
    [["convert", "a", "b", "--dtype", "f8"], 2, /Allowed choices are f32, f16/],
    [["doctor", "extra"], 2, /too many arguments/],
  ]));

test("help with an example for every command, and the version", async () => {
  const commands = [
    "classify",
    "run",
    "train",
    "summary",
    "profile",
    "tune",
    "bench",
    "convert",
    "export",
    "doctor",
    "demo",
  ];
  for (const command of commands) {
    const { code, stdout, errors } = await shadenet([command, "--help"]);
    assert.is(code, 0);
    assert.equal(errors, []);
    assert.match(stdout, new RegExp(`^Usage: shadenet ${command} `));
    assert.match(stdout, new RegExp(`Example:\n  \\$ npx shadenet ${command}`));
    assert.match(stdout, "--json");
  }
  const { code, stdout, errors } = await inProcess([]);
  assert.is(code, 2);
  assert.is(stdout, "");
  assert.match(errors.join("\n"), /Commands:.*classify.*demo/s);
});

test("started through a symlink; nothing happens on import", async () => {
  await symlink(MAIN, inFolder("shadenet"));
  const { version } = JSON.parse(await readFile(packageFile("package.json"), "utf8"));
  assert.equal(await inProcess(["--version"], { main: inFolder("shadenet") }), {
    code: 0,
    stdout: `${version}\n`,
    errors: [],
  });
  await writeFile(inFolder("import.mjs"), `await import(${JSON.stringify(`file://${MAIN}`)});`);
  assert.equal(await inProcess(["--version"], { main: inFolder("import.mjs") }), { code: 0, stdout: "", errors: [] });
});

/** PNG's CRC-32. */
function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

test("images that are none: one line each, and the GPU stays closed", async () => {
  const png = await readFile(digit(3));
  const huge = Buffer.from(png);
  huge.writeUInt32BE(60_000, 16);
  huge.writeUInt32BE(60_000, 20);
  huge.writeUInt32BE(crc32(huge.subarray(12, 29)), 29);
  await Promise.all([
    writeFile(inFolder("truncated.png"), png.subarray(0, 200)),
    writeFile(inFolder("huge.png"), huge),
    writeFile(inFolder("text.png"), "no picture"),
    writeFile(inFolder("empty.png"), ""),
    mkdir(inFolder("folder.png")),
  ]);
  const reasons: [string, string, RegExp][] = [
    ["missing.png", "FILE", /there is no such file/],
    ["none-*.png", "FILE", /there is no such file/],
    ["folder.png", "FILE", /folder/],
    ["text.png", "IMAGE", /got a text file/],
    ["empty.png", "IMAGE", /got an empty file/],
    ["truncated.png", "IMAGE", /truncated/],
    ["huge.png", "IMAGE", /60000 x 60000/],
  ];
  // Opening the GPU would fail, too.
  const env = { SHADENET_ADAPTER: "none" };
  const files = reasons.map(([file]) => file);
  const { code, stdout, errors } = await inProcess(["classify", ...files, "--json"], { env });
  assert.is(code, 1);
  assert.is(errors.length, reasons.length);
  const results = JSON.parse(stdout);
  reasons.forEach(([file, kind, message], i) => {
    assert.match(errors[i], message);
    assert.equal(results[i], { file, error: { code: kind, message: errors[i].replace("shadenet: ", "") } });
  });
});

test("classify: a bad image among good ones, patterns, JSON", async () => {
  const pattern = packageFile("examples/digits/digit-[4-5]*.{png,jpg}");
  const { code, stdout, errors } = await inProcess([
    "classify",
    digit(0),
    "missing.png",
    pattern,
    "--top",
    "2",
    "--json",
  ]);
  assert.is(code, 1);
  assert.is(errors.length, 1);
  assert.match(errors[0], /cannot read missing.png/);
  const [zero, missing, four, five, ...others] = JSON.parse(stdout);
  assert.equal(others, []);
  assert.is(missing.error.code, "FILE");
  [zero, four, five].forEach(({ file, top }, i) => {
    const label = [0, 4, 5][i];
    assert.is(file, digit(label));
    assert.is(top.length, 2);
    assert.equal([top[0].label, top[0].index], [String(label), label]);
    assert.ok(top[0].probability > 0.5 && top[0].probability <= 1 && top[1].probability < 0.5);
  });
  const plain = await shadenet(["classify", digit(7), digit(8)]);
  assert.is(plain.code, 0);
  assert.equal(plain.errors, []);
  assert.match(plain.stdout, /digit-7-a\.png\n {2}7 {2}█+\S* +\d+\.\d %\n( {2}\d .*\n){4}\n.*digit-8-a\.png\n {2}8 /);
  assert.not.match(plain.stdout, "\x1b");
});

test("weights that do not fit: one line, exit code 1; the stack only with --debug", async () => {
  const good = packageFile("nets/weights/lenet5.safetensors");
  const checkpoint = await openCheckpoint(await fileSource(good));
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of checkpoint.tensors) tensors.set(name, { shape, data: await checkpoint.read(name) });
  await checkpoint.close();
  const variant = (name: string, change: (tensors: Map<string, Tensor>) => void) => {
    const changed = new Map(tensors);
    change(changed);
    return writeFile(inFolder(name), encodeSafetensors(changed));
  };
  await variant("missing.safetensors", (all) => all.delete("conv1.bias"));
  await variant("extra.safetensors", (all) => all.set("conv9.bias", { shape: [1], data: new Float32Array(1) }));
  await variant("misshapen.safetensors", (all) => all.set("conv1.bias", { shape: [7], data: new Float32Array(7) }));
  const damaged = await readFile(good);
  damaged.write("]]]", 20);
  await writeFile(inFolder("damaged.safetensors"), damaged);
  const using = (weights: string) => ["classify", digit(1), "--weights", weights];
  await eachFails([
    [using("missing.safetensors"), 1, /missing\.safetensors does not fit: 1 tensor missing \(conv1\.bias\)$/],
    [using("extra.safetensors"), 1, /1 tensor extra \(conv9\.bias\)$/],
    [using("misshapen.safetensors"), 1, /1 tensor misshapen \(conv1\.bias is \[7\], wanted \[6\]\)$/],
    [using("damaged.safetensors"), 1, /damaged\.safetensors cannot be read as safetensors/],
    [using("nowhere.safetensors"), 1, /cannot read nowhere\.safetensors: there is no such file/],
    [using(digit(1)), 1, /wanted a \.safetensors, a PyTorch/],
  ]);
  const { code, errors } = await shadenet([...using("missing.safetensors"), "--debug"]);
  assert.is(code, 1);
  assert.match(errors[0], /^shadenet: WeightsError: /);
  assert.match(errors[1], /^ {4}at /);
});

test("without an adapter: what to install", async () => {
  const env = { SHADENET_ADAPTER: "none" };
  assertFails(await shadenet(["classify", digit(1)], { env }), 1, /there is no WebGPU adapter: ./);
  const { code, stdout, errors } = await shadenet(["doctor", "--json"], { env });
  assert.is(code, 1);
  assert.is(errors.length, 1);
  const { adapter, error, node } = JSON.parse(stdout);
  assert.equal([adapter, error.code, node], [null, "NO_ADAPTER", process.versions.node]);
  assertFails(await shadenet(["demo"], { env: { SHADENET_ADAPTER: "nonsense" } }), 2, /can be system, embedded, none/);
});

test("doctor tests every kernel, and tells what is wrong with what was measured", async () => {
  const { kept } = JSON.parse((await shadenet(["tune", "lenet5", "--json"])).stdout);
  await writeFile(kept, "no JSON\n");
  const { code, stdout, errors } = await shadenet(["doctor", "--json"], { env: {} });
  assert.is(errors.length, 1);
  assert.match(
    errors[0],
    /^shadenet: warning: what was measured on this adapter is ignored: tuned-.*\.json is damaged; run/,
  );
  await rm(kept);
  const { adapter, limits, features, packages, traits, kernels } = JSON.parse(stdout);
  assert.equal(
    kernels.filter(({ ok }: { ok: boolean }) => !ok),
    [],
  );
  assert.is(code, 0);
  assert.ok(kernels.some(({ kernel }: { kernel: string }) => kernel === "conv2d"));
  assert.type(adapter.name, "string");
  assert.type(traits.subgroupSize, "number");
  assert.ok(traits.dispatch > 0);
  assert.ok(limits.maxBufferSize > 0 && Array.isArray(features) && packages.webgpu);
});

test("summary needs no GPU", async () => {
  const env = { SHADENET_ADAPTER: "none" };
  const { code, stdout, errors } = await shadenet(["summary", "resnet18", "--batch", "2"], { env });
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /^conv1 +conv2d +\[2, 64, 112, 112\] +9,408 +236,027,904$/m);
  assert.match(stdout, /^Parameters +11,689,512$/m);
  const json = await shadenet(["summary", "lenet5", "--num-classes", "7", "--json"], { env });
  const { net, input, layers, parameters } = JSON.parse(json.stdout);
  assert.equal([net, input, layers.length, parameters], ["lenet5", [1, 1, 32, 32], 12, 61_706 - 3 * 85]);
  assertFails(await shadenet(["summary", "lenet5", "--image-size", "9"], { env }), 1, /does not fit/);
});

const x = (batch: number): Tensor => ({
  shape: [batch, 1, 32, 32],
  data: Float32Array.from({ length: batch * 1024 }, (_, i) => Math.sin(i)),
});

test("run: logits and features come out by name", async () => {
  const output = inFolder("y.safetensors");
  const other = { shape: [2], data: Float32Array.of(1, 2) };
  await writeFile(
    inFolder("x.safetensors"),
    encodeSafetensors(
      new Map([
        ["other", other],
        ["x", x(3)],
      ]),
    ),
  );
  const args = ["run", "--net", "lenet5", "--input", "x.safetensors", "--output", output];
  const { code, stdout, errors } = await shadenet([...args, "--features", "conv1,pool2", "--json"]);
  assert.equal([code, errors], [0, []]);
  const { shapes } = JSON.parse(stdout);
  assert.equal(shapes, { logits: [3, 10], conv1: [3, 6, 28, 28], pool2: [3, 16, 5, 5] });
  const written = await openCheckpoint(bytesSource(await readFile(output)));
  for (const [name, { shape }] of written.tensors) assert.equal(shape, shapes[name]);
  assert.is(written.tensors.size, 3);
  assert.ok((await written.read("logits")).every(Number.isFinite));

  await writeFile(inFolder("flat.safetensors"), encodeSafetensors(new Map([["a", other]])));
  await writeFile(
    inFolder("two.safetensors"),
    encodeSafetensors(
      new Map([
        ["a", x(1)],
        ["b", x(1)],
      ]),
    ),
  );
  const on = (input: string, ...more: string[]) => [
    "run",
    "--net",
    "lenet5",
    "--input",
    input,
    "--output",
    "z",
    ...more,
  ];
  await eachFails([
    [on("x.safetensors", "--features", "conv7"), 2, /no layer "conv7"; it has conv1, tanh1/],
    [on("flat.safetensors"), 1, /a of flat\.safetensors is \[2\]; a net takes images \[N, C, H, W\]/],
    [on("two.safetensors"), 1, /one tensor, or one called "x" or "input"; it has "a", "b"/],
    [[...args, "--output", "no/such/folder"], 1, /cannot write no\/such\/folder: its folder does not exist/],
    [[...args, "--output", "folder.png"], 1, /cannot write folder\.png: it is a folder/],
  ]);
  assert.equal(
    (await readdir(folder)).filter((name) => /\.part$|^z$/.test(name)),
    [],
  );
});

test("what a killed process left of an output is removed by the next one, and what others write is not", async () => {
  const output = inFolder("left.safetensors");
  const { pid } = spawnSync(process.execPath, ["--version"]);
  const parts = [pid, process.ppid].map((writer) => `${output}.${hostname()}-${writer}.part`);
  parts.push(`${output}.elsewhere-${pid}.part`);
  for (const part of parts) await writeFile(part, "half");
  const { code } = await shadenet(["convert", packageFile("tests/goldens/pth/mixed.pth"), output]);
  assert.is(code, 0);
  assert.equal(parts.map(existsSync), [false, true, true]);
  for (const part of parts) await rm(part, { force: true });
});

test("convert: values survive, counters stay whole, nothing half-written", async () => {
  const pth = packageFile("tests/goldens/pth/mixed.pth");
  const output = inFolder("mixed.safetensors");
  const { code, errors } = await shadenet(["convert", pth, output, "--dtype", "f16"]);
  assert.equal([code, errors], [0, []]);
  const [from, to] = [await openCheckpoint(await fileSource(pth)), await openCheckpoint(await fileSource(output))];
  assert.equal([...to.tensors.keys()], [...from.tensors.keys()]);
  for (const [name, { shape, dtype }] of from.tensors) {
    assert.equal(to.tensors.get(name), { ...to.tensors.get(name), shape, dtype: dtype === "I64" ? "I64" : "F16" });
    const [before, after] = [await from.read(name), await to.read(name)];
    before.forEach((value, i) => {
      assert.ok(Math.abs(after[i] - value) <= 2 ** -11 * Math.abs(value) + 2 ** -25, name);
    });
  }
  await Promise.all([from.close(), to.close()]);

  const values = Float32Array.of(1, NaN, 70_000);
  const large = encodeSafetensors(
    new Map([
      ["first", x(1)],
      ["w", { shape: [3], data: values }],
    ]),
  );
  await writeFile(inFolder("large.safetensors"), large);
  const check = await shadenet(["convert", "large.safetensors", "--json"]);
  assert.is(check.code, 0);
  assert.equal(check.errors, ["shadenet: warning: w has 1 values that are NaN or infinite"]);
  assert.equal(JSON.parse(check.stdout).tensors[1], { name: "w", shape: [3], dtype: "F32", nonFinite: 1 });
  const refused = await shadenet(["convert", "large.safetensors", "small.safetensors", "--dtype", "f16"]);
  assertFails(refused, 1, /"w" holds 70000, and f16 ends at 65504/);
  assert.equal(
    (await readdir(folder)).filter((name) => name.startsWith("small")),
    [],
  );
  const same = await shadenet(["convert", "large.safetensors", "copy.safetensors"]);
  assert.is(same.code, 0);
  assert.equal(new Uint8Array(await readFile(inFolder("copy.safetensors"))), large);
});

/** A safetensors file of tensors that are given as they are stored. */
function safetensors(tensors: Record<string, [dtype: string, values: ArrayBufferView]>, metadata?: object): Uint8Array {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, [dtype, { byteLength }]]) => {
    const begin = end;
    end += byteLength;
    const each = { F64: 8, I64: 8, U64: 8, I32: 4, BOOL: 1, F8_E4M3: 1, BF16: 2 }[dtype] ?? 4;
    return [name, { dtype, shape: [byteLength / each], data_offsets: [begin, end] }];
  });
  const header = Buffer.from(
    JSON.stringify({ ...(metadata && { __metadata__: metadata }), ...Object.fromEntries(entries) }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = Object.values(tensors).map(([, { buffer, byteOffset, byteLength }]) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return Buffer.concat([length, header, ...data]);
}

test("convert: what is no float of 32 bits or fewer stays to the bit, and so do the metadata", async () => {
  const kept = {
    i64: ["I64", BigInt64Array.of(16777217n, -(2n ** 63n))],
    f64: ["F64", Float64Array.of(1e300, 0.1)],
    u64: ["U64", BigUint64Array.of(2n ** 64n - 1n)],
    i32: ["I32", Int32Array.of(16777217)],
    bool: ["BOOL", Uint8Array.of(1, 0)],
    f8: ["F8_E4M3", Uint8Array.of(0x7f, 3, 1)],
  } satisfies Parameters<typeof safetensors>[0];
  const metadata = { format: "pt", note: "ünïcode" };
  await writeFile(
    inFolder("kept.safetensors"),
    safetensors({ ...kept, w: ["F32", Float32Array.of(1)], b: ["BF16", Uint16Array.of(0x3f80)] }, metadata),
  );
  for (const [dtype, bytes] of [
    ["f32", 4],
    ["f16", 2],
  ] as const) {
    const { code, errors } = await shadenet(["convert", "kept.safetensors", "out.safetensors", "--dtype", dtype]);
    assert.equal([code, errors], [0, []]);
    const written = await openCheckpoint(bytesSource(await readFile(inFolder("out.safetensors"))));
    assert.equal(written.metadata, metadata);
    for (const [name, [type, values]] of Object.entries(kept)) {
      assert.is(written.tensors.get(name)?.dtype, type);
      const stored = Buffer.from((await written.readBytes?.(name)) ?? []);
      assert.equal(stored.toString("hex"), Buffer.from(values.buffer).toString("hex"), name);
    }
    for (const name of ["w", "b"]) {
      assert.equal([...(await written.read(name))], [1]);
      assert.is((await written.readBytes?.(name))?.length, bytes);
    }
  }
  assert.equal((await shadenet(["convert", "kept.safetensors"])).errors, []);
});

test("convert takes the mapping that is asked for, or says which of several it took", async () => {
  const file = packageFile("tests/goldens/pth/several.pth");
  const tensorsOf = async (key: string) =>
    JSON.parse((await shadenet(["convert", file, "--weights-key", key, "--json"])).stdout).tensors;
  const checkpoint = await openCheckpoint(await fileSource(file));
  for (const key of ["model", "model_ema"]) {
    const names = [...(checkpoint.parts?.get(key)?.tensors.keys() ?? [])];
    assert.equal(
      (await tensorsOf(key)).map(({ name }: { name: string }) => name),
      names,
    );
    const output = inFolder(`${key}.safetensors`);
    assert.is((await shadenet(["convert", file, output, "--weights-key", key])).code, 0);
    const written = await openCheckpoint(await fileSource(output));
    for (const name of names) assert.equal(await written.read(name), await checkpoint.parts?.get(key)?.read(name));
    await written.close();
  }
  await checkpoint.close();
  const none = ["convert", file, "--weights-key", "ema"];
  await eachFails([[none, 2, /several\.pth has no mapping "ema" for --weights-key; it has .*"model_ema"/]]);

  const { code, errors } = await shadenet(["convert", packageFile("tests/goldens/pth/several.pth")]);
  assert.is(code, 0);
  assert.is(errors.length, 1);
  assert.match(errors[0], /warning: .*several\.pth has several mappings, "model", "model_ema"; this is "model"$/);
});

test("what is read is never written over, by whatever path", async () => {
  const file = safetensors({ x: ["F32", Float32Array.of(1)] });
  await writeFile(inFolder("in.safetensors"), file);
  await symlink("in.safetensors", inFolder("soft.safetensors"));
  await link(inFolder("in.safetensors"), inFolder("hard.safetensors"));
  const refused = /is the file that is read, .*; write to another one$/;
  const onto = (output: string) => ["convert", "in.safetensors", output] as string[];
  const run = ["run", "--net", "lenet5", "--output", "soft.safetensors"];
  await eachFails([
    [onto("in.safetensors"), 2, /^shadenet: in\.safetensors is the file that is read, in\.safetensors; write/],
    [onto("./folder.png/../in.safetensors"), 2, refused],
    [onto("soft.safetensors"), 2, refused],
    [onto("hard.safetensors"), 2, refused],
    [["convert", "soft.safetensors", "in.safetensors"], 2, refused],
    [["convert", `file://${inFolder("in.safetensors")}`, "hard.safetensors"], 2, refused],
    [[...run, "--input", "in.safetensors"], 2, refused],
    [[...run, "--input", "x.safetensors", "--weights", "in.safetensors"], 2, refused],
    [["export", "lenet5", "hard.safetensors", "--weights", "in.safetensors"], 2, refused],
  ]);
  assert.equal(new Uint8Array(await readFile(inFolder("in.safetensors"))), new Uint8Array(file));
});

test("weights come from pipes and file: URLs, by any of their names, and by a key", async () => {
  const good = packageFile("nets/weights/lenet5.safetensors");
  const listed = (await shadenet(["convert", good])).stdout.split("\n").slice(0, -2);
  const piped = (input: string) => `"${process.execPath}" "${MAIN}" convert ${input}`;
  const commands = [
    `cat "${good}" | ${piped("-")}`,
    `cat "${good}" | ${piped("/dev/stdin")}`,
    `${piped("-")} < "${good}"`,
  ];
  for (const command of someOf(commands, 1)) {
    const { stdout } = await promisify(exec)(command, { cwd: folder });
    assert.equal(stdout.split("\n").slice(0, -2), listed, command);
  }
  await promisify(exec)("mkfifo pipe", { cwd: folder });
  const fifo = shadenet(["convert", "pipe"]);
  await writeFile(inFolder("pipe"), await readFile(good));
  assert.is((await fifo).code, 0);

  const using = (...more: string[]) => shadenet(["classify", digit(1), "--top", "1", ...more]);
  for (const weights of [`file://${good}`, "MNIST", "mnist", "DEFAULT"]) {
    const { code, errors } = await using("--weights", weights);
    assert.equal([code, errors], [0, []], weights);
  }
  await eachFails([
    [
      ["classify", digit(1), "--weights", "mnist2"],
      1,
      /mnist2: there is no such file; the weights of lenet5 by name are MNIST$/,
    ],
    [["classify", digit(1), "--weights", "file://elsewhere/x"], 1, /file:\/\/elsewhere\/x is no file of this machine/],
    [["classify", digit(1), "--weights-key", "ema"], 2, /has no mapping "ema" for weightsKey; it has ""$/],
  ]);

  const checkpoint = await openCheckpoint(await fileSource(good));
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of checkpoint.tensors)
    tensors.set(`module.${name}`, { shape, data: await checkpoint.read(name) });
  await checkpoint.close();
  await writeFile(inFolder("module.safetensors"), encodeSafetensors(tensors));
  const { code, errors } = await using("--weights", "module.safetensors");
  assert.is(code, 0);
  assert.equal(errors, [
    'shadenet: warning: "module" was taken off the names of the tensors of module.safetensors: without, they fit',
  ]);
});

test("demo: ten digits, drawn", async () => {
  const { code, stdout, errors } = await inProcess(["demo"]);
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /reads handwritten digits\.\nAdapter: ./);
  assert.match(stdout, /10 of 10 right\. First answer \d+(\.\d)? m?s after the start of the process;\nthen/);
  assert.is(stdout.match(/▸ \d {2}█/g)?.length, 10);
  assert.ok(stdout.split("\n").every((line) => [...line].length <= 80));
  assert.not.match(stdout, "\x1b");
  const { images, firstAnswerMs, adapter } = JSON.parse((await shadenet(["demo", "--json"])).stdout);
  assert.is(images.length, 10);
  assert.ok(firstAnswerMs > 0 && adapter.name);
});

test("Ctrl-C ends with 130; a reader that leaves is no failure", async () => {
  const interrupted = await inProcess(["doctor"], { onOutput: (child) => child.kill("SIGINT") });
  assert.equal([interrupted.code, interrupted.errors], [130, []]);
  const unread = await inProcess(["demo"], { onOutput: (child) => child.stdout?.destroy() });
  assert.equal([unread.code, unread.errors], [0, []]);
});

test.run();
