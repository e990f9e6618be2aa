// What a lecturer does with Train: a net from scratch, on a few digits, since this adapter is slow.
import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openSafetensors } from "../../engine/weights/safetensors.ts";
import { bytesSource } from "../../engine/weights/sources.ts";
import { readMnist } from "../../nets/weights/mnist.ts";
import { idx } from "../engine/training/digits.ts";
import { isDeep } from "../harness.ts";
import { readShown, recompute } from "./explained.ts";
import {
  inBrowser,
  inDepth,
  inspect,
  inspected,
  inWorker,
  killGpu,
  loseDevice,
  openSite,
  pixelsOf,
  waitForText,
  watchTasks,
} from "./visit.ts";

const site = await openSite("page-train");
let page: Page;

const SETTINGS = { "Learning rate": "0.01", Batch: "8", Optimizer: "sgd", Seed: "5" };

const field = (label: string) => page.locator("#panel-train").getByLabel(label);
const fields = async (): Promise<Record<string, string>> => {
  const values = Object.keys(SETTINGS).map(async (label) => [label, await field(label).inputValue()]);
  return Object.fromEntries(await Promise.all(values));
};

const press = (name: string, exact = true) => page.getByRole("button", { name, exact });
const textOf = async (id: string): Promise<string> => (await page.locator(`#${id}`).textContent()) ?? "";
const waitFor = (id: string, wanted: RegExp) => waitForText(page, id, wanted, "train-problem");
const pixels = (id: string): Promise<string> => pixelsOf(page.locator(`#${id}`));

/** The step that the filters shown are of. */
const stepShown = async (): Promise<number> => Number(/\d+/.exec(await textOf("filters-text"))?.[0] ?? 0);

/** Waits until training has come further than a step. */
const waitBeyond = (step: number) =>
  page.waitForFunction(
    (step) => Number(/\d+/.exec(document.getElementById("filters-text")?.textContent ?? "")?.[0]) > step,
    step,
  );

/** Files of some of MNIST's digits. */
function files(split: "train" | "t10k", count: number) {
  const { images, labels } = readMnist("train");
  const first = split === "train" ? 0 : 1000;
  const pixels = images.slice(first * 784, (first + count) * 784);
  const file = (kind: string, rank: number, bytes: Uint8Array) => ({
    name: `${split}-${kind}-idx${rank}-ubyte`,
    mimeType: "application/octet-stream",
    buffer: Buffer.from(bytes),
  });
  return [
    file("images", 3, idx([count, 28, 28], pixels)),
    file("labels", 1, idx([count], labels.slice(first, first + count))),
  ];
}

inBrowser("it is loaded when it is opened, with what the address says as far as that makes sense", async () => {
  if (!site) return;
  page = await site.open("");
  const scripts = () =>
    page.evaluate(
      () => performance.getEntriesByType("resource").filter(({ name }) => /\/train-\w+\.js/.test(name)).length,
    );
  await page.locator("#panel-digits").waitFor();
  assert.is(await scripts(), 0);
  await page.evaluate(() => {
    location.hash = "#train?lr=0.01&batch=8&optimizer=sgd&seed=5";
  });
  await waitFor("train-status", /Press Start/);
  assert.is(await scripts(), 1);
  assert.equal(await fields(), SETTINGS);
  await page.evaluate(() => {
    location.hash = "#train?lr=-1&batch=9&optimizer=none&seed=x";
  });
  await page.waitForURL(/lr=0\.01&batch=8&optimizer=sgd&seed=5$/);
  assert.equal(await fields(), SETTINGS);
});

inBrowser("nothing can be pressed before there is a script to hear it", async () => {
  if (!site) return;
  const late = await site.open("");
  await late.route(/\/train-\w+\.js$/, async (route) => {
    await new Promise((go) => setTimeout(go, 1000));
    await route.continue();
  });
  await late.getByRole("tab", { name: "Train" }).click();
  await late.getByRole("button", { name: "Step", exact: true }).click();
  await waitForText(late, "train-status", /^(Opening|Training|Paused)/, "train-problem");
  await late.close();
});

inBrowser("digits of one's own: files that are none, and MNIST's", async () => {
  await page
    .locator("#train-file")
    .setInputFiles([{ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("x") }]);
  await waitForText(page, "train-problem", /train-images-idx3-ubyte.*; got notes\.txt$/);
  await page.locator("#train-file").setInputFiles([...files("train", 64), ...files("t10k", 20)]);
  await waitFor("train-data", /^Training on 64 digits, tested on 20 others\.$/);
});

inBrowser("a step by the keyboard: loss, test, filters, mistakes", async () => {
  await press("Step").press("Enter");
  await waitFor("train-status", /^Paused after 1 step\.$/);
  assert.match(await textOf("loss-text"), /^2\.\d\d, 2\.\d\d on unseen digits$/);
  assert.match(await textOf("mistakes-text"), /^\d+ of 20 after step 1$/);
  const mistakes = Number.parseInt(await textOf("mistakes-text"), 10);
  assert.ok(mistakes > 0);
  assert.is(await page.locator("#mistakes li").count(), Math.min(12, mistakes));
  assert.ok(await field("Optimizer").isDisabled());
  await inspect(page, "train");
});

inBrowser("train by a tap, change the learning rate meanwhile, pause; another batch goes on from there", async () => {
  await press("Go on").tap();
  await waitBeyond(1);
  await field("Learning rate").fill("0.03");
  await field("Learning rate").press("Enter");
  await page.waitForURL(/lr=0\.03&batch=8/);
  await waitBeyond(await stepShown());
  assert.not.equal(await pixels("train-filters"), await pixels("first-filters"));
  await press("Pause").click();
  await waitFor("train-status", /^Paused after \d+ steps\.$/);
  const before = await stepShown();
  await field("Batch").selectOption("16");
  await press("Step").click();
  await waitBeyond(before);
  const steps = Number(/\d+/.exec(await waitFor("train-status", /^Paused after \d+ steps\.$/))?.[0]);
  // After the first step, every fortieth, and this one.
  assert.is(await page.locator("#accuracy-chart circle").count(), 2 + Math.floor((steps - 1) / 40));
  assert.match(page.url(), /lr=0\.03&batch=16&optimizer=sgd&seed=5$/);
});

inDepth("a lost device: it goes on, and says from where", async () => {
  await press("Go on").click();
  await waitBeyond(await stepShown());
  await loseDevice(page, "training");
  await waitFor("train-status", /device was lost and opened again; training goes on from step \d+/);
  await waitBeyond(await stepShown());
  assert.ok(await page.locator("#notice").isHidden(), "the rest of the page has noticed");
});

inDepth("the GPU's process ends: it goes on, and the curves, filters and mistakes are still there", async () => {
  const shown = await Promise.all([pixels("train-filters"), pixels("first-filters")]);
  const before = await stepShown();
  await killGpu(page);
  await waitFor("train-status", /device was lost and opened again; training goes on from step \d+/);
  await waitBeyond(before);
  assert.is(await pixels("first-filters"), shown[1]);
  assert.not.equal(await pixels("train-filters"), shown[0]);
  assert.ok((await page.locator("#mistakes li").count()) > 0);
});

inBrowser("save what was trained, and draw a digit with it", async () => {
  const saving = page.waitForEvent("download");
  await press("Save").click();
  const bytes = readFileSync(await (await saving).path());
  const { tensors } = await openSafetensors(bytesSource(bytes));
  assert.equal(tensors.get("conv1.weight")?.shape, [6, 1, 5, 5]);
  await press("Draw a digit with it").click();
  await page.locator("#panel-digits").waitFor();
  await page.getByRole("button", { name: "7", exact: true }).click();
  const first = await waitForText(page, "digit-status", /^\d: /, "digits-problem");
  assert.ok(first);
  assert.match(
    (await page.getByLabel("Read by").locator("option").nth(1).textContent()) ?? "",
    /^trained here in \d+ steps$/,
  );
  const trained = await readShown(page);
  recompute(trained);
  const filter = await openSafetensors(bytesSource(bytes)).then((file) => file.read("conv1.weight", 0, 25));
  assert.equal(trained.filter.map(Math.fround), [...filter]);
  await page.getByLabel("Read by").selectOption({ index: 0 });
  await waitForText(page, "digit-status", /^7: /, "digits-problem");
  await page.waitForFunction(
    (old) => document.querySelector<HTMLDataElement>("#unit .filter")?.value !== old,
    String(trained.filter[0]),
  );
  recompute(await readShown(page));
});

inDepth("the worker ends: that is said, and Start begins again; Start over leaves nothing", async () => {
  await page.getByRole("tab", { name: "Train" }).click();
  await press("Go on").click();
  await waitFor("train-status", /^Training/);
  await waitBeyond(await stepShown());
  await inWorker(page, "training", () => close());
  await waitForText(page, "train-problem", /^The worker ended/);
  assert.is(await page.locator("#mistakes li").count(), 0);
  await press("Start").click();
  await waitFor("loss-text", /\d/);
  await press("Pause").click();
  await press("Start over").click();
  await waitFor("train-status", /forgotten/);
  assert.equal([await textOf("loss-text"), await textOf("filters-text"), await stepShown()], ["", "", 0]);
  assert.ok(await press("Save").isDisabled());
  assert.not(await field("Optimizer").isDisabled());
});

inBrowser("accessibility", () => assert.equal(inspected.violations, []));

if (isDeep) {
  inBrowser(
    "95 % of unseen digits with what the page brings, and how long tasks of the page are meanwhile",
    async () => {
      if (!site) return;
      const tasks = await watchTasks(site.context);
      page = await site.open("#train");
      await press("Start").click();
      const isOver = () =>
        performance.getEntriesByName("95 %").length > 0 || !document.getElementById("train-problem")?.hidden;
      await page.waitForFunction(isOver, undefined, { timeout: 0 });
      assert.is(await textOf("train-problem"), "");
      const startTime = await page.evaluate(() => performance.getEntriesByName("95 %")[0].startTime);
      console.log(`note: 95 % after ${(startTime / 1000).toFixed(0)} s; ${await tasks()}`);
      assert.ok(startTime > 0);
    },
  );
}

test.run();
