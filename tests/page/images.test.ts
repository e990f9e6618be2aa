// What visitors do with Images, and what goes wrong for them.
import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { deflateSync } from "node:zlib";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Handler, text } from "../../bench/browser/server.ts";
import type { AnyNet } from "../../engine/definition.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { encodeSafetensors } from "../../engine/weights/safetensors.ts";
import { exportOnnx } from "../../index.ts";
import { mobilenetv3_small_100 } from "../../nets/mobilenet_v3.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { shufflenet_v2_x0_5 } from "../../nets/shufflenet_v2.ts";
import { isDeep, someOf } from "../harness.ts";
import * as visit from "./visit.ts";
import { colours, inBrowser, inDepth, inspect, openSite, ROOT, type Site } from "./visit.ts";

/** Some bytes of a checkpoint, and then nothing more. */
const sendSlowly: Handler = (_request, response) => {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": 50_000_000 });
  response.write(Buffer.alloc(1_000_000));
};

/** A net's tensors, all random. */
async function checkpoint(net: AnyNet, options: object = {}): Promise<Buffer> {
  const weights = randomWeights(net, options);
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

const waitFor = (id: string, wanted: RegExp, problem?: string): Promise<string> =>
  visit.waitForText(page, id, wanted, problem);
const until = <T>(what: string, ask: () => Promise<T | undefined>): Promise<T> => visit.until(page, what, ask);
const press = (name: string | RegExp, exact = true) => page.getByRole("button", { name, exact });
const answered = () => waitFor("answer", /, in /, "images-problem");

const drop = (view: string, name: string, type: string, bytes: Buffer): Promise<void> =>
  visit.drop(page, view, name, type, bytes);

/** Shows a photo that comes with the page, and waits for the answer for it. */
async function show(photo: RegExp): Promise<void> {
  // What comes then is none of an earlier picture.
  await page.locator("#answer").evaluate((answer) => answer.replaceChildren());
  await press(photo).click();
  await answered();
}

const CAT = /^A cat/;
const COFFEE = /^A cup of coffee/;

async function openOwn(): Promise<void> {
  const own = page.locator("#own-weights");
  if (!(await own.evaluate((details) => (details as HTMLDetailsElement).open))) await own.locator("summary").click();
}

async function link(file: string): Promise<void> {
  await openOwn();
  await page.getByLabel("Address").fill(`${site.origin}/${file}.safetensors`);
  await press("Load").click();
}

/** How often the hub was asked for weights: a folder of the site stands for it. */
let downloads = 0;

inBrowser(
  "every net by its family with what there is to download; the address names one; nothing is downloaded",
  async () => {
    page = await site.open("#images?net=shufflenet_v2_x0_5");
    await waitFor("net-text", /^1.37 million parameters, 40.5 million multiply-adds/);
    const families = await page
      .locator("#net optgroup")
      .evaluateAll((groups) => groups.map((group) => group.getAttribute("label")));
    for (const family of ["VGG", "SqueezeNet", "DenseNet", "Vision Transformer"])
      assert.ok(families.includes(family), family);
    const texts = await page.locator("#net option").allTextContents();
    for (const text of ["vgg16 · 553 MB", "squeezenet1_1 · 4.94 MB", "alexnet2012"])
      assert.ok(texts.includes(text), text);
    // Where no page may read a file, it is saved and chosen.
    const save = page.getByRole("link", { name: "Save its weights, 5.5 MB" });
    assert.match(
      (await save.getAttribute("href")) ?? "",
      /^https:\/\/download\.pytorch\.org\/models\/shufflenetv2_x0\.5-/,
    );
    await page.getByRole("img", { name: /The picture, 440 × 293 pixels/ }).waitFor();
    await page.evaluate(() => {
      location.hash = "#images?net=mobilenetv3_small_100";
    });
    await waitFor("net-text", /^2.54 million/);
    assert.is(await page.locator("#net").inputValue(), "mobilenetv3_small_100");
    assert.is(downloads, 0);
    await inspect(page, "images-empty");
  },
);

inBrowser(
  "one press loads published weights and answers; cancelled before; the next visit needs no download",
  async () => {
    const load = press("Load mobilenetv3_small_100, 10.2 MB");
    assert.match(
      (await page.locator("#published").textContent()) ?? "",
      /from huggingface\.co\/timm, kept for the next visit/,
    );
    await visit.inWorker(page, "nets", () => {
      const { fetch } = globalThis;
      globalThis.fetch = (address, options) =>
        fetch(String(address).replace("https://huggingface.co/", `${location.origin}/hub/`), options);
    });
    await load.click();
    await waitFor("images-status", /^Downloading/);
    await page.locator("#cancel-load").click();
    await waitFor("images-status", /Nothing is loaded/);
    assert.ok(await page.locator("#images-problem").isHidden());
    assert.ok(await page.locator("#no-answer").isVisible());
    await load.press("Enter");
    assert.match(await waitFor("images-status", /is loaded/, "images-problem"), /kept for the next visit/);
    await answered();
    await waitFor("heat-text", /^Grad-CAM of .*, blocks, 7 × 7$/, "images-problem");
    assert.ok(await page.getByRole("radio", { name: "Class activation" }).isDisabled());
    const before = [downloads, await page.locator("#image-bars").textContent()];
    await page.reload();
    await load.tap();
    await answered();
    assert.equal([downloads, await page.locator("#image-bars").textContent()], before);
  },
);

inBrowser("the camera, until it is stopped", async () => {
  // Less work for a software adapter than the page's own choice.
  await page.locator("#net").selectOption("shufflenet_v2_x0_5");
  await page.waitForURL(/#images\?net=shufflenet_v2_x0_5$/);
  assert.is(await page.locator("#answer").textContent(), "", "another net's answer");
  await waitFor("net-text", /^1.37 million/);
  await press("Camera").click();
  await press("Stop the camera").waitFor();
  await page.locator("#crop").waitFor();
  await press("Stop the camera").click();
  await page.getByRole("img", { name: /The picture, \d+ × \d+ pixels/ }).waitFor();
});

inBrowser("drop an image, and link a checkpoint that the browser has no room to keep", async () => {
  const photo = readFileSync(`${ROOT}examples/photos/coffee.webp`);
  await drop("images", "coffee.webp", "image/webp", photo);
  await page.getByRole("img", { name: /The picture, 440 × 293 pixels/ }).waitFor();
  const session = await site.context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: site.origin, quotaSize: 5e6 });
  await link("shufflenet_v2_x0_5");
  assert.match(await waitFor("images-status", /is loaded/, "images-problem"), /could not be kept/);
  await answered();
});

const classes = () => page.locator("#image-bars button");
const answers = () => page.locator("#image-bars").textContent();
const picture = (id: string) => visit.pixelsOf(page.locator(`#${id}`));
const layer = (path: string) => page.locator(`[data-path="${path}"]`);

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

inBrowser("five classes, a heat map for each with its scale, the activations of a layer", async () => {
  await show(CAT);
  assert.is(await classes().count(), 5);
  const first = await look("the heat map of the first class", (map) => map !== "");
  assert.ok((await colours(page.locator("#heat"))) > 100);
  const best = (await classes().nth(0).locator(".label").textContent()) ?? "";
  assert.is(await page.locator("#heat-text").textContent(), `Class activation map of ${best}, conv5, 7 × 7`);
  assert.ok(
    Number(await page.locator("#heat-high").textContent()) > Number(await page.locator("#heat-low").textContent()),
  );
  await classes().nth(1).click();
  const second = await look("another one of the second class", (map) => map !== "" && map !== first);
  await page.getByRole("slider", { name: "Opacity" }).fill("40");
  assert.is(await page.locator("#heat").evaluate((canvas) => getComputedStyle(canvas).opacity), "0.4");
  await page.getByRole("radio", { name: "None" }).check();
  assert.is(await heatMap(), "");
  assert.ok(await page.locator("#heat-legend").isHidden());
  await page.getByRole("radio", { name: "Class activation" }).check();
  await look("the second one again", (map) => map === second);
  await classes().nth(0).click();
  await look("the first one again", (map) => map === first);
  await layer("maxpool").click();
  await waitFor("layer-text", /^maxpool .*24 maps of 56 × 56/, "images-problem");
  assert.ok((await colours(page.locator("#maps"))) > 50);
  Object.assign(seen, { first, second, answers: await answers(), activations: await picture("maps") });
  await inspect(page, "images");
});

inBrowser("any class is found by its name, and its map shown by the keyboard", async () => {
  const search = page.getByLabel("Search a class");
  await search.fill("no such class");
  await waitFor("class-found", /^No class/);
  await search.fill("tabby");
  assert.equal(await classes().locator(".label").allTextContents(), ["tabby"]);
  await search.press("Tab");
  await page.keyboard.press("Tab");
  await classes().first().press("Enter");
  await waitFor("heat-text", /^Class activation map of tabby, /, "images-problem");
  await search.fill("");
  // It stays among those that are seen.
  const labels = await classes().locator(".label").allTextContents();
  assert.equal([labels.length, labels.at(-1)], [6, "tabby"]);
  assert.is(await page.locator('#image-bars [aria-pressed="true"] .label').textContent(), "tabby");
});

inDepth("Grad-CAM by the keyboard, occlusion by a tap: cancelled, and done for any class", async () => {
  await page.getByRole("radio", { name: "Class activation" }).press("ArrowRight");
  await waitFor("heat-text", /^Grad-CAM of tabby, conv5, 7 × 7$/, "images-problem");
  assert.ok((await colours(page.locator("#heat"))) > 50);
  await page.getByRole("radio", { name: "Occlusion" }).tap();
  await page.locator("#cancel-heat").click();
  await press("Slide the square over it").waitFor();
  assert.is(await heatMap(), "");
  assert.ok(await page.locator("#images-problem").isHidden());
  if (isDeep) {
    await press("Slide the square over it").press("Enter");
    await waitFor("heat-text", /^Occlusion of tabby, 8 × 8 places of a square$/, "images-problem");
    await classes().nth(0).click();
    await waitFor("heat-text", /^Occlusion of (?!tabby).*8 × 8/, "images-problem");
    assert.match((await page.locator("#heat-high").textContent()) ?? "", /% of probability$/);
  }
  // Another picture has none until it is asked for.
  await show(COFFEE);
  assert.is(await heatMap(), "");
  await press("Slide the square over it").waitFor();
  await show(CAT);
  await page.getByRole("radio", { name: "Class activation" }).check();
  await look("the first heat map", (map) => map === seen.first);
});

inBrowser(
  "layers: pointed at, folded by a tap, gone through by arrow keys; the first filters as pictures",
  async () => {
    await layer("maxpool").hover();
    assert.match(
      (await page.locator("#layer-facts").textContent()) ?? "",
      /^maxpool: 24 × 56 × 56 out, 0 parameters, 0 multiply-adds$/,
    );
    const stage = layer("stage3");
    assert.is(await stage.getAttribute("aria-expanded"), "false");
    await stage.locator(".fold").tap();
    assert.is(await stage.getAttribute("aria-expanded"), "true");
    await page.keyboard.press("ArrowLeft");
    assert.is(await stage.getAttribute("aria-expanded"), "false");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    const block = layer("stage3.0");
    assert.is(await block.getAttribute("aria-expanded"), "true");
    const columns = await block.evaluate((head) => {
      const parts = [...(head.nextElementSibling?.children ?? [])];
      return new Set(parts.map((part) => part.getBoundingClientRect().left)).size;
    });
    assert.ok(columns > 1, "its branches do not stand beside each other");
    assert.ok((await page.locator(".edges path").count()) > 10);
    await page.keyboard.press("Enter");
    await waitFor("layer-text", /^stage3\.0 .*96 maps of 14 × 14/, "images-problem");
    await press("Next").click();
    assert.is(await page.locator("#maps-text").textContent(), "65 to 96 of 96");
    await page.keyboard.press("Home");
    await page.getByRole("treeitem", { name: "input" }).press("ArrowDown");
    await page.keyboard.press("Enter");
    await waitFor("first-layer-filters-text", /^24 filters of 3 × 3, red, green and blue/, "images-problem");
    assert.ok((await colours(page.locator("#first-layer-filters"))) > 100);
    await layer("maxpool").tap();
    await page.locator("#filters-figure").waitFor({ state: "hidden" });
    await waitFor("layer-text", /^maxpool /, "images-problem");
  },
);

const isSeenAgain = async (what: string): Promise<void> => {
  await classes().nth(1).click();
  await look(`the second heat map ${what}`, (map) => map === seen.second);
  await show(CAT);
  await waitFor("layer-text", /24 maps of 56 × 56/, "images-problem");
  await look(`the first heat map ${what}`, (map) => map === seen.first);
  assert.is(await answers(), seen.answers);
  assert.ok((await picture("maps")) === seen.activations, `the activations differ ${what}`);
};

inDepth("the GPU's process ends: answers, heat maps and activations are the same afterwards", async () => {
  await visit.killGpu(page);
  await waitFor("notice-text", /^The GPU device was lost .* opened again/, "no-gpu");
  await press("Close").click();
  assert.ok((await heatMap()) === seen.first, "a loss has changed the heat map that is seen");
  await isSeenAgain("after the GPU's process has ended");
});

if (isDeep) {
  inBrowser("the device is lost while a square is slid over the picture: it goes on", async () => {
    await page.getByRole("radio", { name: "Occlusion" }).check();
    await visit.loseDevice(page, "nets");
    await waitFor("heat-text", /^Occlusion of .*8 × 8/, "images-problem");
    await press("Close").click();
    await page.getByRole("radio", { name: "Grad-CAM" }).check();
    await waitFor("heat-text", /^Grad-CAM of .*7 × 7$/, "images-problem");
    await page.getByRole("radio", { name: "Class activation" }).check();
    await isSeenAgain("after a loss");
  });
}

inBrowser("the worker ends: another one loads the net again, and answers", async () => {
  await visit.inWorker(page, "nets", () => close());
  await waitFor("no-gpu-reason", /^The worker ended\.$/);
  await press("Try again").click();
  await answered();
  await look("the heat map of another worker", (map) => map === seen.first);
});

inDepth("another picture's answer, map and activations are gone at once", async () => {
  await page.evaluate(() => {
    const element = (id: string) => document.getElementById(id) as HTMLElement;
    new MutationObserver(() => {
      if (element("answer").textContent !== "Looking …") return;
      const texts = ["caption", "image-bars"].map((id) => element(id).textContent);
      const seen = ["heat", "maps"].map((id) => getComputedStyle(element(id)).visibility);
      Object.assign(globalThis, { meanwhile: [...texts, ...seen, element("heat-legend").hidden] });
    }).observe(element("answer"), { childList: true });
  });
  await look("a heat map", (map) => map !== "");
  await show(COFFEE);
  const meanwhile = await page.evaluate(() => (globalThis as unknown as { meanwhile: unknown[] }).meanwhile);
  assert.equal(meanwhile, ["", "", "hidden", "hidden", true]);
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
  await page.getByRole("tab", { name: "Digits" }).click();
  await page.locator("#panel-digits").waitFor({ state: "visible" });
  for (const kind of ["dragover", "drop"]) assert.not(await wouldOpen("header", kind));
  await page.getByRole("tab", { name: "Images" }).click();
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

inDepth("wrong checkpoints: another net's, an HTML page", async () => {
  await drop("images", "lenet5.safetensors", "", readFileSync(`${ROOT}nets/weights/lenet5.safetensors`));
  await waitFor("images-problem", /[Ll]enet5\.safetensors does not fit: /);
  await press(CAT).click();
  await page.locator("#photo-problem").waitFor({ state: "hidden" });
  assert.match((await page.locator("#images-problem").textContent()) ?? "", /does not fit/, "a picture hides it");
  assert.ok(await page.locator("#first-layer-filters").isHidden());
  await openOwn();
  await page.getByLabel("Address").fill(`${site.origin}/login.html`);
  await press("Load").click();
  await waitFor("images-problem", /HTML|page/);
});

inDepth("another last layer: its classes by number and by name; NaN is no answer", async () => {
  await link("three");
  await waitFor("images-problem", /trained for 3 classes: put 3 into the field Classes$/);
  await page.getByLabel("Classes", { exact: true }).fill("3");
  await page.getByLabel("Classes", { exact: true }).press("Enter");
  await waitFor("net-text", /0.345 million parameters/);
  assert.ok(await page.locator("#images-problem").isHidden());
  await link("three");
  await waitFor("answer", /^class \d, .*in /, "images-problem");
  assert.is(await page.locator("#image-bars button").count(), 3);
  await drop("images", "names.txt", "text/plain", Buffer.from("ant\nbee\r\nwasp\n"));
  await link("three");
  await waitFor("answer", /^(ant|bee|wasp), .*in /, "images-problem");
  await page.getByLabel("Their names").fill("ant\nbee");
  await page.getByLabel("Their names").blur();
  await waitFor("net-text", /0.344 million parameters/);
  await page.getByLabel("Classes", { exact: true }).fill("3");
  await page.getByLabel("Classes", { exact: true }).press("Enter");
  await waitFor("images-problem", /^2 names for 3 classes: give one for each/);
  await page.getByLabel("Their names").fill("");
  await page.getByLabel("Their names").blur();
  await waitFor("net-text", /1.37 million parameters/);
  await page.getByLabel("Classes", { exact: true }).fill("-1");
  await page.getByLabel("Classes", { exact: true }).press("Enter");
  await waitFor("images-problem", /numClasses is -1; it must be a positive integer/);
  await page.getByLabel("Classes", { exact: true }).fill("");
  await page.getByLabel("Classes", { exact: true }).press("Enter");
  await waitFor("net-text", /1.37 million parameters/);
  await link("nan");
  await waitFor("images-problem", /[Ss]hufflenet_v2_x0_5 answers NaN: its weights or its input/);
  assert.is(await page.locator("#answer").textContent(), "");
});

inDepth("two nets at once: the later choice wins; a download is cancelled", async () => {
  await link("slow");
  await waitFor("images-status", /Downloading/);
  await page.locator("#net").selectOption("alexnet");
  await waitFor("net-text", /61.1 million/);
  await waitFor("images-status", /Nothing is downloaded unasked/);
  await press("Load").click();
  await waitFor("images-status", /Downloading/);
  await press("Cancel").first().click();
  await waitFor("images-status", /Nothing is loaded/);
  assert.ok(await page.locator("#images-problem").isHidden());
});

inDepth("an ONNX model of one's own is a net among the others; what is none is told", async () => {
  const net = "shufflenet_v2_x0_5";
  const pieces = exportOnnx(net, { imageSize: 64, weights: randomWeights(shufflenet_v2_x0_5) });
  await drop("images", "mine.onnx", "", await buffer(pieces));
  const loaded = await waitFor("images-status", /^mine\.onnx is loaded/, "images-problem");
  assert.match(loaded, /\. Pictures are prepared as torchvision's for ImageNet, which no file says: .*\.$/);
  await answered();
  await waitFor("net-text", /^1.37 million parameters, 4.25 million multiply-adds/);
  await waitFor("heat-text", /, 2 × 2$/, "images-problem");
  await waitFor("layer-text", / maps of /, "images-problem");
  const before = await answers();
  await visit.inWorker(page, "nets", () => close());
  await press("Try again").click();
  await until("the same answers", async () => (await answers()) === before || undefined);

  await page.locator("#net").selectOption(net);
  await waitFor("images-status", /Nothing is downloaded unasked/);
  await page.locator("#net").selectOption({ label: "mine.onnx" });
  await answered();
  assert.is(await answers(), before);
  await drop("images", "none.onnx", "", Buffer.from("no model"));
  await waitFor("images-problem", /[Nn]one\.onnx: got a file that starts with/);
  await waitFor("images-status", /Nothing is loaded/);
  await page.locator("#net").selectOption(net);
});

inBrowser("accessibility", () => {
  console.log(`note: axe, ${visit.inspected.pages} pages: ${visit.inspected.passes} rules passed`);
  assert.equal(visit.inspected.violations, []);
});

for (const net of someOf(["squeezenet1_1", "densenet121", "inception_v3", "vit_b_32", "alexnet"], 0, 2)) {
  inBrowser(
    `${net}: a map, its layers and their first activations, and how long tasks of the page are meanwhile`,
    async () => {
      const tasks = await visit.watchTasks(site.context);
      page = await site.open(`#images?net=${net}`);
      await waitFor("net-text", /million parameters/);
      await openOwn();
      await press(/^Random/, false).click();
      await answered();
      await waitFor("heat-text", /, \d+ × \d+$/, "images-problem");
      await waitFor("layer-text", / maps of /, "images-problem");
      console.log(`note: ${net}: ${await tasks()}`);
      await inspect(page, `images-${net}`);
      assert.equal(visit.inspected.violations, []);
      await page.close();
    },
  );
}

const weights = await checkpoint(shufflenet_v2_x0_5);
const published = await checkpoint(mobilenetv3_small_100);
const sendBytes =
  (bytes: Buffer): Handler =>
  (_request, response) =>
    void response.writeHead(200, { "content-length": bytes.length }).end(bytes);
// Its last bytes are fc.weight's or a batch norm's: all of them are read.
const damaged = Buffer.from(weights);
damaged.fill(255, damaged.length - 4);
const opened = await openSite("page-images", {
  "/slow.safetensors": sendSlowly,
  "/login.html": text("text/html", "<!doctype html><title>Log in</title>"),
  "/shufflenet_v2_x0_5.safetensors": sendBytes(weights),
  "/hub/timm/mobilenetv3_small_100.lamb_in1k/resolve/main/model.safetensors": (request, response) =>
    (downloads++ === 0 ? sendSlowly : sendBytes(published))(request, response),
  "/three.safetensors": sendBytes(await checkpoint(shufflenet_v2_x0_5, { numClasses: 3 })),
  "/nan.safetensors": sendBytes(damaged),
});
if (opened) site = opened;
test.run();
