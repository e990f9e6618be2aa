// The page of examples/page in a real browser: what its visitors do, and what goes wrong for them.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isDeep } from "../harness.ts";
import { sumOf } from "./explained.ts";
import * as visit from "./visit.ts";
import { colours, inBrowser, inDepth, openSite, SEVEN, SHOTS, type Site } from "./visit.ts";

const VIEWS = ["digits"] as const;

let site: Site;
let page: Page;

const waitFor = (id: string, wanted: RegExp, on: Page = page, problem?: string): Promise<string> =>
  visit.waitForText(on, id, wanted, problem);
const inspect = (view: (typeof VIEWS)[number]): Promise<void> => visit.inspect(page, view);
const inWorker = (name: string, work: () => void): Promise<void> => visit.inWorker(page, name, work);
const loseDevice = (name: string): Promise<void> => visit.loseDevice(page, name);

inBrowser("draw a digit, as soon as the page is open", async () => {
  page = await site.open("");
  // All that the views load is counted below: more than browsers remember.
  await page.evaluate(() => performance.setResourceTimingBufferSize(5000));
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
  if (isDeep) await inspect("digits");
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
  assert.ok([...VIEWS, "images"].every((view) => hashes.includes(view)));
  await page.getByRole("tab", { name: "Digits" }).focus();
  for (const view of [...hashes.slice(1), hashes[0]]) {
    await page.keyboard.press("ArrowRight");
    await page.waitForURL((url) => url.hash.split("?")[0] === `#${view}`);
    await page.locator(`#panel-${view}`).waitFor({ state: "visible" });
    assert.is(await page.locator("[role=tabpanel]:visible").count(), 1);
  }
});

inBrowser("a view that is being left does not write its address over the next one's", async () => {
  await page.evaluate(() => {
    location.hash = "images";
  });
  await page.locator("#net option").first().waitFor({ state: "attached" });
  await page.evaluate(() => {
    location.hash = "time";
    document.querySelector("#net")?.dispatchEvent(new Event("change", { bubbles: true }));
  });
  await page.locator("#panel-time").waitFor();
  assert.is(new URL(page.url()).hash.split("?")[0], "#time");
});

inBrowser("with every view opened the page's own thread has loaded less than 120 KB of script", async () => {
  for (const view of ["train", "teach", "images", "time", "kernels", "digits"]) {
    await page.evaluate((view) => {
      location.hash = view;
    }, view);
    await page.locator(`#panel-${view}`).waitFor();
  }
  // What each of them puts into the page first.
  for (const part of ["#classes > li", "#net option", "#time-net option", "#kernel option"])
    await page.locator(part).first().waitFor({ state: "attached" });
  await page.waitForFunction(() => (document.querySelector("#train-lr") as HTMLInputElement).value !== "");
  const scripts = await page.evaluate(() =>
    performance.getEntriesByType("resource").flatMap(({ name }) => /[^/]+\.js$/.exec(new URL(name).pathname) ?? []),
  );
  const read = (name: string) => readFileSync(`${site.folder}/${name}`, "utf8");
  // What the workers import is among them, too.
  const own = new Set(["main.js"]);
  for (const name of own)
    for (const [, next] of read(name).matchAll(/["']\.\/([\w-]+\.js)["']/g))
      if (scripts.includes(next) && next !== "worker.js") own.add(next);
  assert.ok(own.size > 5);
  const bytes = [...own].map((name) => gzipSync(read(name), { level: 9 }).length);
  console.log(`note: ${sumOf(bytes)} bytes of script in the page's own thread, gzipped, with every view opened`);
  assert.ok(sumOf(bytes) < 120_000);
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

inDepth("a lost device is opened again, and the digit has the same answer", async () => {
  const before = await readSeven();
  await loseAndReopen();
  assert.is(await readSeven(), before);
});

inDepth("a device that is lost again and again is opened when asked to", async () => {
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

inDepth("a worker that ends is told of, and another one opened when asked to", async () => {
  const before = await readSeven();
  await inWorker("nets", () => close());
  await waitFor("no-gpu-reason", /^The worker ended\.$/);
  await page.getByRole("button", { name: "Try again" }).click();
  await waitFor("adapter", /Adapter: /);
  assert.is(await readSeven(), before);
});

inDepth("accessibility", () => {
  console.log(
    `note: axe, ${visit.inspected.pages} pages: ${visit.inspected.passes} rules passed, ${visit.inspected.violations.length} violated`,
  );
  console.log(`note: screenshots: ${SHOTS}`);
  assert.is(visit.inspected.pages, 2 * VIEWS.length);
  assert.equal(visit.inspected.violations, []);
});

inDepth("no WebGPU, and an adapter refused: what to do is said, and done again when asked to", async () => {
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

inDepth("the GPU's process ends: the digit has the same answer, and its stages are still there", async () => {
  page = await site.open("");
  const before = await readSeven();
  const stages = () => Promise.all([0, 5, 11].map((i) => visit.pixelsOf(page.locator("#stages canvas").nth(i))));
  const drawn = await stages();
  await visit.killGpu(page);
  await waitFor("notice-text", /^The GPU device was lost .* opened again/);
  assert.equal(await stages(), drawn);
  assert.is(await readSeven(), before);
});

const opened = await openSite("page");
if (opened) site = opened;
test.run();
