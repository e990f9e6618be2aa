// The page of examples/page in a real browser: what its visitors do, and what goes wrong for them.
import { readFileSync } from "node:fs";
import { deflateSync } from "node:zlib";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Handler, text } from "../../bench/browser/server.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { encodeSafetensors } from "../../engine/weights/safetensors.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { shufflenet_v2_x0_5 } from "../../nets/shufflenet_v2.ts";
import { isDeep } from "../harness.ts";
import * as visit from "./visit.ts";
import { colours, inBrowser, openSite, ROOT, SEVEN, SHOTS, type Site } from "./visit.ts";

const VIEWS = ["digits", "images"] as const;

/** Some bytes of a checkpoint, and then nothing more. */
const sendSlowly: Handler = (_request, response) => {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": 50_000_000 });
  response.write(Buffer.alloc(1_000_000));
};

/** ShuffleNetV2 x0.5's tensors, all random. */
async function checkpoint(options: object = {}): Promise<Buffer> {
  const weights = randomWeights(shufflenet_v2_x0_5, options);
  const tensors = new Map<string, Tensor>();
  for (const [name, { shape }] of weights.tensors) tensors.set(name, { shape, data: await weights.read(name) });
  return Buffer.from(encodeSafetensors(tensors));
}

/** A grey PNG of any size, black all over: its rows compress to nothing. */
function hugePng(width: number, height: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 1; // one bit per pixel
  const rows = deflateSync(Buffer.alloc((1 + Math.ceil(width / 8)) * height));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))]);
}

function crc32(data: Buffer): number {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

let site: Site;
let page: Page;

const waitFor = (id: string, wanted: RegExp, on: Page = page, problem?: string): Promise<string> =>
  visit.waitForText(on, id, wanted, problem);
const until = <T>(what: string, ask: () => Promise<T | undefined>): Promise<T> => visit.until(page, what, ask);
const inspect = (view: (typeof VIEWS)[number]): Promise<void> => visit.inspect(page, view);
const inWorker = (name: string, work: () => void): Promise<void> => visit.inWorker(page, name, work);
const loseDevice = (name: string): Promise<void> => visit.loseDevice(page, name);

const show = (view: string): Promise<void> => page.getByRole("tab", { name: view, exact: true }).click();

const drop = (view: string, name: string, type: string, bytes: Buffer): Promise<void> =>
  visit.drop(page, view, name, type, bytes);

inBrowser("draw a digit, as soon as the page is open", async () => {
  page = await site.open("");
  await visit.draw(page, SEVEN);
  await waitFor("digit-status", /^7: .* sure/, page, "digits-problem");
  const [{ startTime }] = await page.evaluate(() => performance.getEntriesByName("first digit").map((e) => e.toJSON()));
  console.log(`note: first digit answered ${startTime.toFixed(0)} ms after the page was opened`);
  const canvases = await page.locator("#stages canvas").all();
  assert.is(canvases.length, 12);
  for (const canvas of canvases) assert.ok((await colours(canvas)) > 10);
  await page.emulateMedia({ forcedColors: "active" });
  const grounds = await page.evaluate(() =>
    [document.body, document.querySelector("#digit-bars .fill")].map(
      (each) => each && getComputedStyle(each).backgroundColor,
    ),
  );
  assert.not.equal(grounds[0], grounds[1], "bars cannot be seen");
  await page.emulateMedia({ forcedColors: "none" });
  await inspect("digits");
});

inBrowser("clear it, and take digits by the keyboard", async () => {
  await page.getByRole("button", { name: "Clear" }).click();
  await waitFor("digit-status", /Draw a digit/);
  for (const canvas of await page.locator("#stages canvas").all()) {
    const alpha = await canvas.evaluate(
      (canvas) => (canvas as HTMLCanvasElement).getContext("2d")?.getImageData(2, 2, 1, 1).data[3],
    );
    assert.is(alpha, 255, "nothing is left of a stage");
  }
  for (let digit = 0; digit < 10; digit++) {
    await page.getByRole("button", { name: String(digit), exact: true }).press("Enter");
    await waitFor("digit-status", new RegExp(`^${digit}: `));
  }
});

inBrowser("tabs by arrow keys", async () => {
  const hashes = await page
    .getByRole("tab")
    .evaluateAll((tabs) => tabs.map((tab) => (tab as HTMLAnchorElement).hash.slice(1)));
  assert.ok(VIEWS.every((view) => hashes.includes(view)));
  await page.getByRole("tab", { name: "Digits" }).focus();
  for (const view of [...hashes.slice(1), hashes[0]]) {
    await page.keyboard.press("ArrowRight");
    await page.waitForURL((url) => url.hash.split("?")[0] === `#${view}`);
    await page.locator(`#panel-${view}`).waitFor({ state: "visible" });
    assert.is(await page.locator("[role=tabpanel]:visible").count(), 1);
  }
});

/** The probabilities of a digit of MNIST's that is taken now. */
async function readSeven(): Promise<string | null> {
  await page.getByRole("button", { name: "Clear" }).click();
  await page.getByRole("button", { name: "7", exact: true }).click();
  await waitFor("digit-status", /^7: /, page, "digits-problem");
  return page.locator("#digit-bars").textContent();
}

/** Loses the device of the nets; waits until it was opened again. */
async function loseAndReopen(): Promise<void> {
  await loseDevice("nets");
  await waitFor("notice-text", /^The GPU device was lost .* opened again/);
  await page.locator("#notice").waitFor();
  await page.getByRole("button", { name: "Close" }).click();
}

inBrowser("a lost device is opened again, and the digit has the same answer", async () => {
  const before = await readSeven();
  await loseAndReopen();
  assert.is(await readSeven(), before);
});

inBrowser("a device that is lost again and again is opened when asked to", async () => {
  const before = await readSeven();
  await inWorker("nets", () => {
    // A minute of this takes longer than any test.
    const now = performance.now.bind(performance);
    performance.now = () => now() / 1000;
  });
  for (let losses = 2; losses <= 3; losses++) await loseAndReopen();
  await loseDevice("nets");
  await waitFor("no-gpu-reason", /^The GPU device was lost .*, 4 times within a minute\.$/);
  await page.getByRole("button", { name: "Try again" }).click();
  await waitFor("adapter", /Adapter: /);
  assert.ok(await page.locator("#no-gpu").isHidden());
  assert.is(await readSeven(), before);
});

inBrowser("a worker that ends is told of, and another one opened when asked to", async () => {
  const before = await readSeven();
  await inWorker("nets", () => close());
  await waitFor("no-gpu-reason", /^The worker ended\.$/);
  await page.getByRole("button", { name: "Try again" }).click();
  await waitFor("adapter", /Adapter: /);
  assert.is(await readSeven(), before);
});

inBrowser("the camera, until it is stopped", async () => {
  await show("Images");
  await waitFor("net-text", /11.7 million parameters/);
  // Less work for a software adapter than the page's own choice.
  await page.locator("#net").selectOption("shufflenet_v2_x0_5");
  await page.getByRole("button", { name: "Camera" }).click();
  await page.getByRole("button", { name: "Stop the camera" }).waitFor();
  await waitFor("images-status", /Choose weights/, page, "images-problem");
  await page.locator("#crop").waitFor();
  await page.getByRole("button", { name: "Stop the camera" }).click();
  await page.getByRole("img", { name: /The picture, \d+ × \d+ pixels/ }).waitFor();
});

inBrowser("drop an image, and link a checkpoint that the browser has no room to keep", async () => {
  await show("Images");
  await waitFor("net-text", /1.37 million parameters/);
  await page.getByRole("button", { name: "Test picture" }).click();
  const url = await page.locator("#picture").evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
  await drop("images", "sunset.png", "image/png", Buffer.from(url.split(",")[1], "base64"));
  await waitFor("images-status", /Choose weights/, page, "images-problem");
  const session = await site.context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: site.origin, quotaSize: 5e6 });
  await page.getByLabel("Address").fill(`${site.origin}/shufflenet_v2_x0_5.safetensors`);
  await page.getByRole("button", { name: "Load", exact: true }).click();
  assert.match(await waitFor("images-status", /is loaded/, page, "images-problem"), /could not be kept/);
});

const classes = () => page.locator("#image-bars button");
const answers = () => page.locator("#image-bars").textContent();
const activations = () => page.locator("#maps").evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());

/** The heat map that is seen; nothing where none is. */
const heatMap = () =>
  page
    .locator("#heat")
    .evaluate((canvas) =>
      getComputedStyle(canvas).visibility === "hidden" ? "" : (canvas as HTMLCanvasElement).toDataURL(),
    );

/** Waits for a heat map. */
const look = (what: string, isWanted: (map: string) => boolean): Promise<string> =>
  until(what, async () => {
    const map = await heatMap();
    return isWanted(map) ? map : undefined;
  });

/** What is seen of a picture. */
const seen = { first: "", second: "", answers: "", activations: "" };

inBrowser("five classes, a heat map for each, the activations of a layer", async () => {
  await waitFor("answer", /, in /, page, "images-problem");
  assert.is(await classes().count(), 5);
  const box = page.getByRole("checkbox", { name: "Heat map" });
  const first = await look("the heat map of the first class", (map) => map !== "");
  assert.ok((await colours(page.locator("#heat"))) > 100);
  await classes().nth(1).click();
  const second = await look("another one of the second class", (map) => map !== first);
  await box.uncheck();
  assert.is(await heatMap(), "");
  await box.check();
  await look("the first one again", (map) => map === first);
  await page.getByRole("radio", { name: /^maxpool\b/ }).check();
  await waitFor("layer-text", /24 maps of 56 × 56/, page, "images-problem");
  assert.ok((await colours(page.locator("#maps"))) > 50);
  Object.assign(seen, { first, second, answers: await answers(), activations: await activations() });
  await inspect("images");
});

inBrowser("the GPU's process ends: answers, heat maps and activations are the same afterwards", async () => {
  await visit.killGpu(page);
  await waitFor("notice-text", /^The GPU device was lost .* opened again/, page, "no-gpu");
  await page.getByRole("button", { name: "Close" }).click();
  assert.ok((await heatMap()) === seen.first, "a loss has changed the heat map that is seen");
  await classes().nth(1).click();
  await look("the second heat map", (map) => map === seen.second);
  await page.getByRole("button", { name: "Test picture" }).click();
  await waitFor("answer", /, in /, page, "images-problem");
  await waitFor("layer-text", /24 maps of 56 × 56/, page, "images-problem");
  assert.is(await answers(), seen.answers);
  assert.ok((await activations()) === seen.activations, "the activations differ");
  assert.ok((await heatMap()) === seen.first, "the heat map differs");
});

inBrowser("another picture's answer is gone at once", async () => {
  const [before, after] = await page.evaluate(() => {
    const text = () => document.getElementById("answer")?.textContent;
    const texts = [text()];
    document.getElementById("test-picture")?.click();
    return [...texts, text(), getComputedStyle(document.querySelector(".heat") as Element).visibility];
  });
  assert.match(before ?? "", /, in /);
  assert.is(after, "");
  await waitFor("answer", /, in /, page, "images-problem");
});

/** Drops a file on an element; tells whether the browser would have opened it. */
const wouldOpen = (selector: string, kind: string): Promise<boolean> =>
  page.evaluate(
    ([selector, kind]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["no picture"], "header.png", { type: "image/png" }));
      const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
      return document.querySelector(selector)?.dispatchEvent(event) ?? true;
    },
    [selector, kind] as const,
  );

inBrowser("a file that is dropped anywhere is never opened in place of the page", async () => {
  await show("Digits");
  await page.locator("#panel-digits").waitFor({ state: "visible" });
  for (const kind of ["dragover", "drop"]) assert.not(await wouldOpen("header", kind));
  await show("Images");
  await page.locator("#panel-images").waitFor({ state: "visible" });
  assert.ok(await page.locator("#photo-problem").isHidden());
  assert.not(await wouldOpen("header", "drop"));
  await waitFor("photo-problem", /[Hh]eader\.png is no picture/);
});

inBrowser("a photo of 200 megapixels, and a file that is none", async () => {
  await drop("images", "huge.png", "image/png", hugePng(20_000, 10_000));
  await waitFor("photo-problem", /20000 × 10000 pixels, that is 200 megapixels.*make it smaller/);
  await drop("images", "text.png", "image/png", Buffer.from("no picture"));
  await waitFor("photo-problem", /[Tt]ext\.png is no picture/);
});

inBrowser("wrong checkpoints: another net's, an HTML page", async () => {
  await drop("images", "lenet5.safetensors", "", readFileSync(`${ROOT}nets/weights/lenet5.safetensors`));
  await waitFor("images-problem", /[Ll]enet5\.safetensors does not fit: /);
  await page.getByRole("button", { name: "Test picture" }).click();
  await waitFor("images-status", /Choose weights/, page, "photo-problem");
  assert.match((await page.locator("#images-problem").textContent()) ?? "", /does not fit/, "a picture hides it");
  await page.getByLabel("Address").fill(`${site.origin}/login.html`);
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await waitFor("images-problem", /HTML|page/);
});

inBrowser("another last layer: its classes by number; NaN is no answer", async () => {
  const load = async (file: string) => {
    await page.getByLabel("Address").fill(`${site.origin}/${file}.safetensors`);
    await page.getByRole("button", { name: "Load", exact: true }).click();
  };
  await load("three");
  await waitFor("images-problem", /trained for 3 classes: put 3 into the field Classes$/);
  await page.getByLabel("Classes", { exact: true }).fill("3");
  await page.getByLabel("Classes", { exact: true }).press("Enter");
  await waitFor("net-text", /0.345 million parameters/);
  assert.ok(await page.locator("#images-problem").isHidden());
  await load("three");
  await waitFor("answer", /^class \d, in /, page, "images-problem");
  assert.is(await page.locator("#image-bars button").count(), 3);
  await page.getByLabel("Classes", { exact: true }).fill("-1");
  await page.getByLabel("Classes", { exact: true }).press("Enter");
  await waitFor("images-problem", /numClasses is -1; it must be a positive integer/);
  await page.getByLabel("Classes", { exact: true }).fill("");
  await page.getByLabel("Classes", { exact: true }).press("Enter");
  await waitFor("net-text", /1.37 million parameters/);
  await load("nan");
  await waitFor("images-problem", /[Ss]hufflenet_v2_x0_5 answers NaN: its weights or its input/);
  assert.is(await page.locator("#answer").textContent(), "");
});

inBrowser("two nets at once: the later choice wins; a download is cancelled", async () => {
  await page.getByLabel("Address").fill(`${site.origin}/slow.safetensors`);
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await waitFor("images-status", /Downloading/);
  await page.locator("#net").selectOption("alexnet");
  await waitFor("net-text", /61.1 million/);
  await waitFor("images-status", /Choose weights/);
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await waitFor("images-status", /Downloading/);
  await page.getByRole("button", { name: "Cancel" }).first().click();
  await waitFor("images-status", /Nothing is loaded/);
  assert.ok(await page.locator("#images-problem").isHidden());
});

inBrowser("accessibility", () => {
  console.log(
    `note: axe, ${visit.inspected.pages} pages: ${visit.inspected.passes} rules passed, ${visit.inspected.violations.length} violated`,
  );
  if (isDeep) console.log(`note: screenshots: ${SHOTS}`);
  assert.is(visit.inspected.pages, 2 * VIEWS.length);
  assert.equal(visit.inspected.violations, []);
});

inBrowser("no WebGPU, and an adapter refused: what to do is said, and done again when asked to", async () => {
  await site.context.addInitScript(() => {
    if (location.search === "?without") Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });
  });
  const blind = await site.open("?without");
  await waitFor(
    "no-gpu",
    /There is no GPU to work with[\s\S]*This browser has no WebGPU\.[\s\S]*Chrome or Edge/,
    blind,
  );
  await blind.close();

  site.isRefused = true;
  const refused = await site.open("");
  await waitFor("no-gpu-reason", /no WebGPU adapter/, refused);
  site.isRefused = false;
  await refused.getByRole("button", { name: "Try again" }).click();
  await waitFor("adapter", /Adapter: /, refused);
  await visit.draw(refused, SEVEN);
  await waitFor("digit-status", /^7: /, refused);
  await refused.close();
});

const weights = await checkpoint();
const sendBytes =
  (bytes: Buffer): Handler =>
  (_request, response) =>
    void response.writeHead(200, { "content-length": bytes.length }).end(bytes);
// Its last bytes are fc.weight's or a batch norm's: all of them are read.
const damaged = Buffer.from(weights);
damaged.fill(255, damaged.length - 4);
const opened = await openSite("page", {
  "/slow.safetensors": sendSlowly,
  "/login.html": text("text/html", "<!doctype html><title>Log in</title>"),
  "/shufflenet_v2_x0_5.safetensors": sendBytes(weights),
  "/three.safetensors": sendBytes(await checkpoint({ numClasses: 3 })),
  "/nan.safetensors": sendBytes(damaged),
});
if (opened) site = opened;
test.run();
