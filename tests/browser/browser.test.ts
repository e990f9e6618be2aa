// The library in a real browser, as browser/page.ts uses it there. Skipped where no browser can be started.
import { mkdtempSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { launch } from "../../bench/browser/launch.ts";
import { type Handler, serve, text } from "../../bench/browser/server.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { encodeSafetensors } from "../../engine/weights/safetensors.ts";
import { crc32 } from "../../engine/weights/zip.ts";
import { nets } from "../../nets/index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { deepOnly, isDeep, open } from "../harness.ts";
import type * as inPage from "./page.ts";
import { trainOnNoise } from "./training.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

const html = `<!doctype html><title>shadenet</title>
<script type="module">import * as inPage from "/dist/tests/browser/page.js"; window.inPage = inPage;</script>`;

/** Downloads that were begun, and those that the browser has ended. */
const slow = { begun: 0, ended: 0 };

/** A file whose beginning comes piece by piece, and the rest never. */
const sendSlowly: Handler = (_request, response) => {
  slow.begun++;
  const sending = setInterval(() => response.write(Buffer.alloc(10_000, 255)), 20);
  response.on("close", () => {
    clearInterval(sending);
    slow.ended++;
  });
  response.writeHead(200, { "content-length": 50_000_000, "content-type": "application/octet-stream" });
};

const LARGE = "resnet50";

async function sendLarge(_request: unknown, response: ServerResponse): Promise<void> {
  const { tensors, read } = randomWeights(nets[LARGE]);
  const all = new Map<string, Tensor>();
  for (const [name, { shape }] of tensors) all.set(name, { shape, data: await read(name) });
  const file = encodeSafetensors(all);
  response.writeHead(200, { "content-length": file.length, "content-type": "application/octet-stream" }).end(file);
}

const server = await serve(ROOT, {
  "/": text("text/html", html),
  "/slow.safetensors": sendSlowly,
  "/large.safetensors": sendLarge,
});
/** Another site, which lets nobody read its pictures. */
const foreign = await serve(ROOT);
/** And one that lets everybody read all that it has. */
const cdn = await serve(ROOT, {}, { open: true });
const browser = await launch();
const inBrowser = typeof browser === "string" ? test.skip : test;
const inDepth = deepOnly(inBrowser);
const troubles: string[] = [];
let page: Page;

type InPage = typeof inPage;
type Returned<K extends keyof InPage> = Awaited<ReturnType<InPage[K]>>;
type Callable = Record<string, (...args: unknown[]) => unknown>;

/** Runs one of the functions of browser/page.ts in a page. */
const runIn = <K extends keyof InPage>(page: Page, name: K, args: Parameters<InPage[K]>): Promise<Returned<K>> =>
  page.evaluate(([name, args]) => (globalThis as unknown as { inPage: Callable }).inPage[name](...args), [
    name,
    args,
  ] as const) as Promise<Returned<K>>;

/** The same in the page that most tests share. */
const run = <K extends keyof InPage>(name: K, ...args: Parameters<InPage[K]>): Promise<Returned<K>> =>
  runIn(page, name, args);

async function openPage(url: string): Promise<Page> {
  const page = await (browser as Exclude<typeof browser, string>).newPage();
  page.on("pageerror", (error) => troubles.push(error.message));
  await page.goto(url);
  // Who waits at the top of a module is not waited for.
  if (url === server.origin) await page.waitForFunction(() => "inPage" in globalThis);
  return page;
}

inBrowser("a page imports the library without a bundler, and its operators are PyTorch's", async () => {
  const { adapter, results } = await run("runCases");
  console.log(`note: in the browser, ${adapter}`);
  assert.ok(results.length > 90);
  assert.equal(
    results.filter(({ status }) => status !== "pass"),
    [],
  );
});

inBrowser("a device, a texture, outputs on the device and responses of the page's own", async () => {
  const got = await run("classifyOwn", "/nets/weights/lenet5.safetensors");
  assert.equal(got, { texture: 3, classes: 10, gone: 1, worker: 3, refused: 1 });
});

inBrowser("weights on a site that gives pages no leave are refused, and the leave is named", async () => {
  const { code, message } = await run("refuseForeign", `${foreign.origin}/nets/weights/lenet5.safetensors`);
  assert.is(code, "FILE");
  assert.match(
    message,
    /lets pages of other sites read it: without the header Access-Control-Allow-Origin it does not/,
  );
});

// The page's test runs a ResNet-18, too.
for (const key of isDeep ? ["lenet5", "resnet18"] : ["lenet5"]) {
  inBrowser(`${key}'s logits are PyTorch's`, async () => {
    const { status, message, errOverRms } = await run("runNetOf", key);
    assert.is(status, "pass", message);
    console.log(`note: in the browser, ${key} has an error over rms of ${errOverRms?.toExponential(1)}`);
  });
}

inBrowser("whatever shows a picture, the GPU makes of it what the CPU's transforms do", async () => {
  const { HTMLVideoElement: video, ...others } = await run("comparePictures");
  assert.is(Object.keys(others).length, 7);
  for (const [kind, difference] of Object.entries(others)) assert.ok(difference <= 1 / 255, `${kind}: ${difference}`);
  // A stream may keep its colours in another space.
  assert.ok(video < 0.1, `HTMLVideoElement: ${video}`);
});

const isNear = (got: readonly number[], want: readonly number[]) =>
  got.every((value, i) => Math.abs(value - want[i]) <= 3);
const [RED, BLUE] = [
  [230, 30, 20],
  [10, 60, 200],
];

inBrowser("an img is seen whole, whatever density its srcset gives", async () => {
  for (const [density, [first, last]] of Object.entries(await run("runDensities"))) {
    assert.ok(isNear(first, RED) && isNear(last, BLUE), `${density}: ${first}, ${last}`);
  }
});

/** One pixel whose colour premultiplied alpha would lose. */
const faint = (): number[] => {
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(data.length);
    framed.set(body, 4);
    framed.writeUInt32BE(crc32(body), body.length + 4);
    return framed;
  };
  const header = chunk("IHDR", Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0));
  // A colour space that no screen has, which a browser would convert from.
  const gamma = chunk("gAMA", Uint8Array.of(0, 1, 0x86, 0xa0));
  const pixels = chunk("IDAT", deflateSync(Uint8Array.of(0, ...RED, 1)));
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return [...Buffer.concat([signature, header, gamma, pixels, chunk("IEND", new Uint8Array())])];
};

inBrowser("a file has the samples that it has in Node", async () => {
  const { float16, ...corners } = await run("runFiles", faint());
  const { "as stored": stored, transparent, ...turned } = corners;
  assert.ok(isNear(stored[0], RED) && isNear(stored[1], BLUE), `as stored: ${stored}`);
  for (const [what, [first, last]] of Object.entries(turned)) {
    assert.ok(isNear(first, BLUE) && isNear(last, RED), `${what}: ${first}, ${last}`);
  }
  assert.equal(transparent, [RED, RED]);
  assert.is(float16.code, "IMAGE");
  assert.match(float16.message, /the data of an image is a Float16Array; wanted 16 bytes of RGBA/);
});

inDepth("what is sent to a worker from memory that threads share is copied", async () =>
  assert.equal(await run("shareWithWorker"), [true, true]),
);

inBrowser("pictures make a batch, and it is filled up with zeros", async () => {
  const { tooMany, ...parts } = await run("runBatch");
  assert.equal(parts, { first: true, second: true, zeros: true });
  assert.is(tooMany.code, "SHAPE");
  assert.match(tooMany.message, /got 4 pictures; the net was loaded for 1 to 3 at a time/);
});

inBrowser("a picture may change or close as soon as it was asked for", async () =>
  assert.ok(await run("changeAfterwards")),
);

inDepth("the frames of a video leave nothing on the GPU", async () =>
  assert.equal(await run("runFrames"), { textures: 0, buffers: 0 }),
);

inBrowser("pictures that cannot be used have clear errors", async () => {
  const failures = await run("refusePictures", `${foreign.origin}/examples/digits/digit-0-a.png`);
  const expected = {
    unloaded: /has no pixels: wait until it has loaded/,
    closed: /has no pixels/,
    "no frame": /has no pixels/,
    "of another site": /cannot be read .*one from another site needs its leave/,
    "no image": /"notes.txt" is no image that this browser can decode/,
    "too large": /this GPU takes at most/,
    string: /got "photo.jpg" for a picture; wanted/,
  };
  for (const [what, message] of Object.entries(expected)) {
    assert.is(failures[what].code, "IMAGE", what);
    assert.match(failures[what].message, message);
  }
});

inBrowser("a digit is read from a canvas", async () => {
  const { label, probability } = await run("readDigit");
  assert.is(label, "7");
  assert.ok(probability > 0.5);
});

inBrowser("a worker does what the page can do", async () => {
  const got = await run("digitsInWorker");
  assert.ok(got.adapter);
  assert.is(got.phases.at(-1), "load");
  assert.equal(
    got.predictions.map(({ label }) => label),
    ["7", "7", "7", "7", "7"],
  );
  assert.equal(
    got.batch.map(([best, ...others]) => [best, others.length]),
    [
      ["7", 1],
      ["7", 1],
    ],
  );
  assert.equal(got.features, [1, 6, 14, 14]);
  assert.ok(got.same, "the logits differ from those of a GPU in the page");
  assert.equal([got.untouched, got.detached], [true, true]);
  assert.is(got.profile.runs, 2);
  assert.equal(got.profile.counted, [0, 1, 2]);
  assert.ok(got.profile.steps.includes("softmax"));
  assert.ok(got.roofline > 0);
});

inDepth("errors keep class, code and message on their way from a worker", async () => {
  for (const [what, { direct, worker }] of Object.entries(await run("compareErrors"))) {
    assert.equal(worker, direct, what);
    assert.ok(direct.code, `${what}: ${direct.message}`);
  }
});

inDepth("a worker's script may have methods of its own", async () => {
  const got = await run("useOwnMethods");
  assert.equal(got.counted, [1, 2, 3]);
  assert.equal(got.colour, [255, 0, 0, 255]);
  assert.equal(got.shape, [1, 1, 32, 32]);
  assert.is(got.after, "7");
  const expected: Record<string, RegExp> = {
    aborted: /^RangeError undefined enough$/,
    unknown: /^UsageError USAGE the worker has no method "nothing"; it has loadNet, run, /,
    odd: /^Error undefined \[object Object\]$/,
    unsent: /could not be cloned/,
    "not sendable": /^UsageError USAGE "loadNet": its arguments cannot be sent to a worker: /,
    "progress that throws": /^RangeError undefined thrown by onProgress$/,
  };
  for (const [what, message] of Object.entries(expected)) {
    const { kind, code, message: told } = got[what] as inPage.Failure;
    assert.match(`${kind} ${code} ${told}`, message);
  }
});

inDepth("weights are cached by address, and may come from a file", async () => {
  const path = "/nets/weights/lenet5.safetensors";
  const before = server.requests.filter((request) => request === path).length;
  const [first, second, file] = await run("loadCached", `${path}?v=${Date.now()}`);
  assert.equal(second, first);
  assert.equal(file, first);
  // One is for the file.
  assert.is(server.requests.filter((request) => request === path).length - before, 2);
});

inBrowser("two nets load at once, and without storage", async () =>
  assert.equal(await run("loadWithoutStorage"), ["7", "7"]),
);

/** Where the library runs: in the page, and in deep runs in a worker, too. */
const PLACES = isDeep ? [false, true] : [false];

for (const inWorker of PLACES) {
  inBrowser(`a slow download ends when it is aborted${inWorker ? ", in a worker, too" : ""}`, async () => {
    Object.assign(slow, { begun: 0, ended: 0 });
    const { ms, ...failed } = await run("abortDownload", inWorker, "/slow.safetensors");
    assert.equal(failed, { kind: "RangeError", code: undefined, message: "enough" });
    for (let turn = 0; slow.ended === 0 && turn < 3000; turn++) await page.waitForTimeout(10);
    assert.equal(slow, { begun: 1, ended: 1 });
    console.log(`note: in the browser, a download ends ${ms.toFixed(0)} ms after it is aborted`);
  });
}

// A device may be lost three times within a minute.
const GPUS = 7;

for (const inWorker of PLACES) {
  const where = inWorker ? "in a worker" : "in a page";
  inDepth(`${3 * GPUS} losses ${where}: what runs is run again, with equal results`, async () => {
    const { lost, wanted, got } = await run("loseDevices", inWorker, GPUS);
    assert.equal(lost, new Array(3 * GPUS).fill("DEVICE_LOST"));
    assert.is(new Set(wanted).size, 10);
    assert.equal(got, new Array(6 * GPUS).fill(wanted));
    console.log(`note: in the browser, ${lost.length} of ${3 * GPUS} losses ${where} replayed with equal results`);
  });
}

inDepth("a net is profiled after its worker's device was lost", async () =>
  assert.is(await run("profileAfterLoss"), 8),
);

inDepth("a worker that ends fails what waits for it, and another one can be opened", async () => {
  const { lost, running, later, label } = await run("loseWorker");
  assert.is(lost.length, 1);
  assert.match(lost[0], /^DEVICE_LOST the worker ended/);
  for (const { code, kind, message } of [...running, later]) {
    assert.equal([kind, code], ["GpuError", "DEVICE_LOST"], message);
  }
  assert.is(label, "7");
});

inBrowser("a browser without WebGPU is told of", async () => {
  for (const { kind, code, message } of await run("refuseDevices")) {
    assert.equal([kind, code], ["GpuError", "NO_ADAPTER"]);
    assert.match(message, /there is no WebGPU adapter: use a browser with WebGPU/);
  }
});

inBrowser("a worker that cannot be opened says why", async () => {
  const { missing, ending, option, aborted } = await run("refuseWorkers");
  assert.equal([missing.kind, missing.code], ["FileError", "FILE"]);
  assert.match(missing.message, /the worker cannot be started/);
  assert.equal([ending.kind, ending.code], ["GpuError", "DEVICE_LOST"]);
  assert.match(ending.message, /the worker ended; open it again/);
  assert.match(option.message, /openWorkerGpu\(\) has no option "nets"; its options are powerPreference, limits/);
  assert.equal(aborted, { kind: "RangeError", message: "enough", code: undefined });
});

inDepth(`the page stays responsive while ${LARGE} loads and runs in a worker`, async () => {
  // Without what other tests have left to be collected.
  const fresh = await openPage(server.origin);
  const measured = await runIn(fresh, "measureResponsiveness", [LARGE, "/large.safetensors"]);
  await fresh.close();
  const { loadMs, runMs, longestTask, longestGap, ticks, probability } = measured;
  const [load, first, task, gap] = [loadMs, runMs, longestTask, longestGap].map((ms) => ms.toFixed(0));
  console.log(
    `note: in the browser, ${LARGE} loaded in ${load} ms and ran in ${first} ms in a worker; the page's longest task took ` +
      `${longestTask === 0 ? "less than 50" : task} ms, the longest gap between its timers ${gap} ms`,
  );
  assert.ok(probability > 0);
  // Whatever else the machine does, a page whose thread were taken would have had no timer at all.
  assert.ok(ticks > 50, `${ticks} timers fired`);
});

inDepth("a net is trained in a page and in a worker as in Node, and the page's thread stays free", async () => {
  const gpu = await open();
  const wanted = await trainOnNoise(gpu);
  assert.ok(wanted[5] < wanted[2] && wanted.length === 6, `${wanted}`);
  const inPage = await run("trainInPage");
  const fresh = await openPage(server.origin);
  const { losses, told, ticks, longestTask } = await runIn(fresh, "trainInWorker", []);
  await fresh.close();
  for (const got of [inPage, losses]) {
    assert.is(got.length, wanted.length);
    got.forEach((loss, i) => {
      assert.ok(Math.abs(loss / wanted[i] - 1) < 1e-5, `loss ${i}: ${loss}, and ${wanted[i]} in Node`);
    });
  }
  const steps = losses.filter((_, i) => i % 3 < 2);
  assert.equal(told, steps);
  const task = longestTask === 0 ? "less than 50" : longestTask.toFixed(0);
  console.log(`note: in the browser, the page's longest task took ${task} ms while a worker trained`);
  assert.ok(ticks > told.length, `${ticks} timers fired`);
});

inDepth("a worker comes from another site, as from a CDN", async () => {
  const [{ label }] = await run("classifyByCdn", cdn.origin);
  assert.is(label, "3");
  assert.ok(cdn.requests.includes("/nets/weights/lenet5.safetensors"));
});

inDepth("a plain script has all in one bundle, and says what it cannot find", async () => {
  const { outputFiles } = await build({
    stdin: { contents: `export * from "./browser.js"; export * from "./worker.js";`, resolveDir: join(ROOT, "dist") },
    bundle: true,
    format: "iife",
    globalName: "shadenet",
    target: "es2022",
    write: false,
    // It warns that import.meta is empty.
    logLevel: "error",
  });
  const [{ text: script }] = outputFiles;
  const plain = await serve(ROOT, {
    "/": text("text/html", '<!doctype html><script src="/shadenet.js"></script>'),
    "/shadenet.js": text("text/javascript", script),
  });
  const other = await openPage(plain.origin);
  const [label, own, worker] = await other.evaluate(async () => {
    const { openGpu, openWorkerGpu } = (
      globalThis as unknown as { shadenet: typeof import("../../worker.ts") & typeof import("../../browser.ts") }
    ).shadenet;
    const gpu = await openGpu();
    const net = await gpu.loadNet("lenet5", { weights: "/nets/weights/lenet5.safetensors" });
    const [{ label }] = await net.classify(await (await fetch("/examples/digits/digit-4-a.png")).blob(), { top: 1 });
    const failed = (error: { code: string; message: string }) => `${error.code}: ${error.message}`;
    const own = await gpu.loadNet("lenet5").then(() => "", failed);
    const worker = await openWorkerGpu().then(() => "", failed);
    gpu.close();
    return [label, own, worker];
  });
  assert.is(label, "4");
  assert.match(own, /^USAGE: this bundle does not say where lenet5's weights are .*: give some/);
  assert.match(worker, /^USAGE: the worker's script cannot be found from here.* give `worker`/);
  await other.close();
  plain.close();
});

inDepth("a bundle of esbuild finds its worker", async () => {
  const folder = mkdtempSync(join(tmpdir(), "shadenet-bundle-"));
  const bundled = await serve(folder, { "/": text("text/html", '<script type="module" src="/app.js"></script>') });
  try {
    const program = `import { openWorkerGpu, UsageError } from "./worker.js";
      const gpu = await openWorkerGpu();
      const weights = "${server.origin}/none";
      const failure = await gpu.loadNet("lenet6").catch((error) => error);
      window.result = [gpu.adapter.name, failure instanceof UsageError, failure.code];
      gpu.close();`;
    const options = { bundle: true, format: "esm", target: "es2022", minify: true, outdir: folder } as const;
    await build({
      ...options,
      stdin: { contents: program, resolveDir: join(ROOT, "dist"), sourcefile: "app.js" },
      entryNames: "app",
    });
    await build({ ...options, splitting: true, entryPoints: { worker_script: join(ROOT, "dist/worker_script.js") } });
    const other = await openPage(bundled.origin);
    const result = await other.waitForFunction(() => (globalThis as unknown as { result: unknown }).result);
    const [adapter, isKind, code] = (await result.jsonValue()) as [string, boolean, string];
    assert.ok(adapter);
    assert.equal([isKind, code], [true, "USAGE"]);
    await other.close();
  } finally {
    bundled.close();
    rmSync(folder, { recursive: true });
  }
});

inBrowser("nothing was rejected without anybody to hear it", () => assert.equal(troubles, []));

if (typeof browser === "string") {
  console.log(`note: skipped, for no browser with WebGPU can be started (${browser})`);
} else {
  test.after(() => browser.close());
  page = await openPage(server.origin);
}
test.after(() => {
  server.close();
  foreign.close();
  cdn.close();
});
test.run();
