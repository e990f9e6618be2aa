import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Host } from "../../../engine/device/host.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { FileError } from "../../../engine/ground/errors.ts";
import { folderStorage, storedFile } from "../../../engine/node/storage.ts";
import { readTuning, tuningName, writeTuning } from "../../../engine/tuning/kept.ts";
import { browserHost } from "../../../engine/web/host.ts";
import { variants } from "../../../kernels/variants.ts";
import { refuses } from "../../harness.ts";

const cache = await mkdtemp(join(tmpdir(), "shadenet-tuning-"));
test.after(() => rm(cache, { recursive: true }));

const storage = folderStorage as NonNullable<Host["storage"]>;

/** Runs with SHADENET_CACHE set to a folder. */
async function withCache<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const before = process.env.SHADENET_CACHE;
  process.env.SHADENET_CACHE = folder;
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env.SHADENET_CACHE;
    else process.env.SHADENET_CACHE = before;
  }
}

const adapter = {
  name: "Card 7",
  vendor: "maker",
  architecture: "arch/2",
  device: "Card 7\\..",
  description: "driver: 1.2 (é)",
  software: false,
};

/** What of a GPU the tuning touches, with a storage of its own. */
function gpuWith(text: string | undefined, more: Partial<Gpu> = {}) {
  const texts = new Map(text === undefined ? [] : [[tuningName(adapter), text]]);
  const own: Host["storage"] = {
    read: async (name) => texts.get(name),
    update: async (name, change) => void texts.set(name, change(texts.get(name))),
  };
  const options = { kernelHash: "abc" };
  const gpu = { adapter, host: { storage: own }, variants, options, warnings: [], tuned: new Map(), ...more };
  return { gpu: gpu as unknown as Gpu, texts };
}

const NOTHING = new Map<string, string>();

const KEY = 'conv2d x [1, 2, 3, 4], w [4, 2, 3, 3] {"relu":true}';

const kept = (choices: unknown, kernels: unknown = "abc") => JSON.stringify({ kernels, choices });

test("an adapter with its driver has a name that any file may have", () => {
  assert.is(tuningName(adapter), "tuned-maker-arch-2-Card-7-..-driver-1.2-.json");
  assert.is.not(tuningName({ ...adapter, description: "driver: 1.3" }), tuningName(adapter));
  const [long, longer] = ["1", "2"].map((version) =>
    tuningName({ ...adapter, description: "x".repeat(999) + version }),
  );
  assert.ok(long.length < 200);
  assert.is.not(long, longer);
});

test("what was written is read again", async () => {
  const tuned = new Map([
    [KEY, "conv2d_tile"],
    ["linear x [1, 4], w [5, 4] {}", "linear"],
  ]);
  const { gpu, texts } = gpuWith(undefined);
  await writeTuning(gpu, tuned);
  const [[, text]] = texts;
  assert.equal(JSON.parse(text), { kernels: "abc", choices: Object.fromEntries(tuned) });
  const other = gpuWith(text).gpu;
  await readTuning(other);
  assert.equal([other.tuned, other.warnings], [tuned, []]);
});

test("nothing kept, nothing to tell", async () => {
  for (const more of [{}, { host: {} as Host }]) {
    const { gpu } = gpuWith(undefined, more);
    await readTuning(gpu);
    await writeTuning(gpu, NOTHING);
    assert.equal([gpu.tuned, gpu.warnings], [new Map(), []]);
  }
});

test("with another driver, or on another adapter, it is measured again, and what was kept stays for the first", async () => {
  const first = gpuWith(undefined);
  await writeTuning(first.gpu, new Map([[KEY, "conv2d_tile"]]));
  for (const change of [{ description: "driver: 1.3 (é)" }, { device: "Card 8" }, { vendor: "other" }]) {
    const other = gpuWith(undefined, { host: first.gpu.host, adapter: { ...adapter, ...change } }).gpu;
    await readTuning(other);
    assert.equal([other.tuned, other.warnings], [NOTHING, []]);
    const measured = new Map([[KEY, "conv2d"]]);
    await writeTuning(other, measured);
    await readTuning(other);
    assert.equal(other.tuned, measured);
  }
  await readTuning(first.gpu);
  assert.equal(first.gpu.tuned, new Map([[KEY, "conv2d_tile"]]));
  assert.is(first.texts.size, 4);
});

test("a device that was opened without a hash of its kernels keeps nothing", async () => {
  const { gpu, texts } = gpuWith(undefined, { options: {} });
  await writeTuning(gpu, new Map([[KEY, "conv2d"]]));
  assert.is(texts.size, 0);
});

const AGAIN = "; run shadenet tune again$";

test("whatever is wrong with it is one line, and as if nothing had been measured", async () => {
  const damaged = new RegExp(`: tuned-maker.*\\.json is damaged${AGAIN}`);
  const stale = new RegExp(`: tuned-.*\\.json is of another version's kernels${AGAIN}`);
  const unknown = (names: string) => new RegExp(`names a variant ${names}, which does not exist${AGAIN}`);
  const cases: [string, RegExp][] = [
    ["", damaged],
    ["{", damaged],
    ["no\nJSON\u0007", damaged],
    [kept({ [KEY]: "conv2d_tile" }).slice(0, -3), damaged],
    ["null", damaged],
    ["5", damaged],
    ['"text"', damaged],
    ["[]", damaged],
    ["{}", damaged],
    [kept(null), damaged],
    [kept([]), damaged],
    [kept(["conv2d"]), damaged],
    [kept("conv2d"), damaged],
    [kept({ [KEY]: 1 }), damaged],
    [kept({ [KEY]: null }), damaged],
    [kept({ [KEY]: ["conv2d"] }), damaged],
    [kept({ [KEY]: "conv2d_tile" }, "abd"), stale],
    [JSON.stringify({ choices: { [KEY]: "conv2d_tile" } }), stale],
    [kept({ [KEY]: "conv2d_tile" }, { abc: 1 }), stale],
    [kept({ [KEY]: "conv2d_fft" }), unknown('"conv2d_fft" for "conv2d x .*')],
    [kept({ [KEY]: "conv2d_tile", "linear x": "conv2d_tile" }), unknown('"conv2d_tile" for "linear x"')],
    [kept({ [KEY]: "a\nb" }), unknown('"a\\\\nb" for .*')],
    [kept({ "constructor x": "name" }), unknown('"name" for "constructor x"')],
    ['{"kernels":"abc","choices":{"__proto__":"toString"}}', unknown('"toString" for "__proto__"')],
    [kept({ "": "" }), unknown('"" for ""')],
    [kept({ [KEY]: "x".repeat(1000) }), unknown('"x{40}" for .*')],
  ];
  for (const [text, message] of cases) {
    const { gpu } = gpuWith(text);
    await readTuning(gpu);
    assert.is(gpu.warnings.length, 1, text);
    assert.match(gpu.warnings[0], message);
    assert.match(gpu.warnings[0], /^what was measured on this adapter is ignored: [^\p{Cc}]*$/u);
    assert.is(gpu.tuned.size, 0);
  }
});

test("a storage that fails to read is told, one that fails to write throws", async () => {
  const fail = () => Promise.reject(new Error("the quota is used up"));
  const { gpu } = gpuWith(undefined, { host: { storage: { read: fail, update: fail } } as unknown as Host });
  await readTuning(gpu);
  assert.equal(gpu.warnings, ["what was measured on this adapter is ignored: the quota is used up"]);
  const message = /^what was measured cannot be kept: the quota is used up$/;
  await refuses(() => writeTuning(gpu, NOTHING), FileError, "FILE", message);
});

test("Node keeps it in files of the cache folder, which is made when it is needed", () =>
  withCache(join(cache, "new/folder"), async () => {
    assert.is(await storage.read("a.json"), undefined);
    assert.not(existsSync(join(cache, "new")));
    for (const text of ["", "one", "two\n€"]) {
      await storage.update("a.json", () => text);
      assert.is(await storage.read("a.json"), text);
    }
    assert.equal(await readdir(join(cache, "new/folder")), ["a.json"]);
    assert.is(await readFile(storedFile("a.json"), "utf8"), "two\n€");
  }));

test("programs that write at the same time lose nothing of each other", () =>
  withCache(join(cache, "shared"), async () => {
    const numbers = Array.from({ length: 8 }, (_, i) => i);
    await Promise.all(numbers.map((i) => storage.update("a.json", (before = "") => `${before}${i}`)));
    const text = (await storage.read("a.json")) ?? "";
    assert.equal([...text].sort(), numbers.map(String));
    assert.equal(await readdir(join(cache, "shared")), ["a.json"]);
  }));

test("what a program that was killed has left is no obstacle", () =>
  withCache(join(cache, "left"), async () => {
    await storage.update("a.json", () => "a");
    const lock = join(cache, "left", "a.json.lock");
    await writeFile(lock, "");
    await utimes(lock, 0, 0);
    await storage.update("a.json", (before) => `${before}b`);
    assert.is(await storage.read("a.json"), "ab");
    assert.equal(await readdir(join(cache, "left")), ["a.json"]);
  }));

test("two that measure at once keep both, the latest of each layer, and nothing that is stale", async () => {
  const { gpu, texts } = gpuWith(kept({ [KEY]: "conv2d", "linear a": "linear", "linear b": "linear_fft" }));
  const other = gpuWith(undefined, { host: gpu.host }).gpu;
  await writeTuning(gpu, new Map([[KEY, "conv2d_tile"]]));
  await writeTuning(other, new Map([["linear c", "linear"]]));
  const choices = { [KEY]: "conv2d_tile", "linear a": "linear", "linear c": "linear" };
  assert.equal(JSON.parse([...texts.values()][0]).choices, choices);
  const newer = gpuWith(undefined, { host: gpu.host, options: { kernelHash: "abd" } }).gpu;
  await writeTuning(newer, new Map([[KEY, "conv2d"]]));
  assert.equal(JSON.parse([...texts.values()][0]), { kernels: "abd", choices: { [KEY]: "conv2d" } });
});

test("a folder in the file's place", () =>
  withCache(join(cache, "taken"), async () => {
    const { gpu } = gpuWith(undefined, { host: { storage } as unknown as Host });
    const path = storedFile(tuningName(adapter));
    await mkdir(path, { recursive: true });
    await readTuning(gpu);
    assert.equal(gpu.warnings, [`what was measured on this adapter is ignored: cannot read ${path}: it is a folder`]);
    const message = /^what was measured cannot be kept: .*; set SHADENET_CACHE to a folder that can be written to$/;
    await refuses(() => writeTuning(gpu, NOTHING), FileError, "FILE", message);
    assert.equal(await readdir(join(cache, "taken")), [tuningName(adapter)]);
  }));

test("a file in the folder's place", async () => {
  await writeFile(join(cache, "file"), "");
  await withCache(join(cache, "file"), async () => {
    const { gpu } = gpuWith(undefined, { host: { storage } as unknown as Host });
    await readTuning(gpu);
    assert.equal(gpu.warnings, []);
    await refuses(() => writeTuning(gpu, NOTHING), FileError, "FILE", /cannot be kept: .*; set SHADENET_CACHE/);
  });
});

test("a page that has no IndexedDB has nothing kept, and cannot keep anything", async () => {
  const { gpu } = gpuWith(undefined, { host: browserHost });
  await readTuning(gpu);
  assert.equal(gpu.warnings, []);
  await refuses(() => writeTuning(gpu, NOTHING), FileError, "FILE", /cannot be kept: this page has no IndexedDB/);
});

test.run();
