// The page's view "Time" in a real browser: what is seen before and after a measurement, and what goes wrong.
import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Figures } from "../../engine/tuning/figures.ts";
import { readFigures } from "../../engine/tuning/read_figures.ts";
import { ownVersion } from "../../tools/package.ts";
import { sampleFigures } from "../bench/sample_figures.ts";
import { isDeep } from "../harness.ts";
import {
  drop,
  inBrowser,
  inDepth,
  inspect,
  inspected,
  inWorker,
  killGpu,
  loseDevice,
  openSite,
  type Site,
  waitForText,
} from "./visit.ts";

let site: Site;
let page: Page;

const waitFor = (id: string, wanted: RegExp, problem = "time-problem"): Promise<string> =>
  waitForText(page, id, wanted, problem);
const textOf = async (selector: string): Promise<string> => (await page.locator(selector).textContent()) ?? "";
const measure = () => page.getByRole("button", { name: /^Measure/ });
const column = (name: string) => page.getByRole("columnheader", { name });
const layersShown = () => page.locator(".times tbody summary").evaluateAll((all) => all.map((one) => one.textContent));

/** A number as format.ts writes it: "1,234", "0.062", and "8.3 × 10⁻⁷" where a busy machine takes long for next to nothing. */
const NUMBER = "[\\d.,]+(?: × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?";

function numberIn(text: string): number {
  const [, digits = "", power = ""] = /([\d.,]+)(?: × 10(\S+))?/.exec(text) ?? [];
  const exponent = [...power].map((c) => "-0123456789"["⁻⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(c)]).join("");
  return Number(digits.replace(/,/g, "")) * 10 ** Number(exponent);
}

/** What the rows have in a column, as numbers of one unit. */
async function figures(of: "warm" | "cold" | "rate" | "share"): Promise<number[]> {
  const texts = await page.locator(`.times tbody .${of} .figure`).allTextContents();
  return texts.map((text) => numberIn(text) * (/\ds$| s$/.test(text) ? 1000 : 1));
}

const isSorted = (values: readonly number[], sign: 1 | -1): boolean =>
  values.every((value, i) => i === 0 || sign * (value - values[i - 1]) >= 0);

inBrowser(
  "before it is measured: the layers, the shape of the result, how long it takes; all from the address",
  async () => {
    page = await site.open("#time?net=lenet5&sort=-warm&by=first");
    await waitFor("time-status", /^Takes about \d+ (s|min), with random weights/);
    assert.is(await page.locator("#time-net").inputValue(), "lenet5");
    assert.is(await page.locator("#time-by").inputValue(), "first");
    assert.is(await column("Later runs").getAttribute("aria-sort"), "descending");
    assert.is((await layersShown()).length, 8);
    assert.is(await page.locator(".plot circle").count(), 8);
    assert.is(await page.locator(".plot .sketch").count(), 1);
    for (const total of ["warm", "cold", "answer", "share"]) assert.is(await textOf(`#total-${total}`), "–");
    assert.match(await textOf("#beside"), /^lenet5not yet$/);
    assert.ok(await page.getByRole("button", { name: "Save figures" }).isDisabled());
    await page.evaluate(() => {
      location.hash = "#time?net=none&nets=none&sort=--&by=none";
    });
    await page.waitForURL(/#time\?net=lenet5&sort=-warm&by=first$/);
  },
);

inBrowser("measure a net, told when the page was hidden meanwhile", async () => {
  // At once, or it may be measured before.
  await measure().evaluate((button) => {
    (button as HTMLButtonElement).click();
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
    Object.defineProperty(document, "hidden", { configurable: true, get: () => false });
  });
  assert.match(await waitFor("time-status", /is measured/), /was hidden/);
  await page.waitForURL(/#time\?net=lenet5&nets=lenet5&sort=-warm&by=first$/);
  for (const total of ["warm", "cold", "answer"]) assert.match(await textOf(`#total-${total}`), /^[\d.]+ (ms|s)$/);
  assert.match(await textOf(".times tfoot"), /^Total[\d.]+ m?s/);
  assert.is(await page.locator(".plot .sketch").count(), 0);
  assert.match(await textOf(".plot svg"), /[\d.]+ GB\/s/);
});

inBrowser("sort by each column, by the mouse, by a tap and by the keyboard; the address keeps it", async () => {
  assert.ok(isSorted(await figures("warm"), -1));
  await column("First run").getByRole("button").click();
  assert.ok(isSorted(await figures("cold"), -1));
  await column("First run").getByRole("button").click();
  assert.is(await column("First run").getAttribute("aria-sort"), "ascending");
  assert.ok(isSorted(await figures("cold"), 1));
  await column("GFLOP/s").getByRole("button").tap();
  assert.ok(isSorted(await figures("rate"), -1));
  await column("Of the roofline").getByRole("button").press("Enter");
  assert.ok(isSorted(await figures("share"), -1));
  await page.waitForURL(/sort=-share/);
  await column("Layer").getByRole("button").press(" ");
  assert.match((await layersShown())[0] ?? "", /^conv1/);
  assert.is(await page.locator(".times [aria-sort]").count(), 1);
});

inBrowser("point at a layer of the roofline by the mouse, by a touch and by the keyboard", async () => {
  const discs = page.locator(".plot circle");
  const about = RegExp(
    "^[\\w.]+: \\w+; N m?s, N % of the time; N GFLOP/s, N % of its roof; N operations".replaceAll("N ", `${NUMBER} `),
  );
  await discs.first().hover();
  const pointed = await textOf("#roofline-text");
  assert.match(pointed, about);
  const row = page.locator(".times tr.pointed");
  assert.is(await row.count(), 1);
  assert.ok((await textOf(".times tr.pointed summary")).startsWith(pointed.split(":")[0]));
  await page.mouse.move(0, 0);
  assert.is(await row.count(), 0);
  assert.match(await textOf("#roofline-text"), /^Point at a layer/);
  await discs.last().tap();
  assert.match(await textOf("#roofline-text"), about);
  await page.locator('.plot circle[tabindex="0"]').focus();
  const first = await textOf("#roofline-text");
  assert.match(first, about);
  await page.keyboard.press("ArrowRight");
  const second = await textOf("#roofline-text");
  assert.match(second, about);
  assert.is.not(second, first);
  await page.keyboard.press("Enter");
  assert.is((await page.locator(".times tr:has(details[open])").count()) > 0, true);
  assert.ok((await page.evaluate(() => document.activeElement?.textContent ?? "")).startsWith(second.split(":")[0]));
  await page.locator(".times tbody tr").nth(2).hover();
  assert.is(await page.locator(".plot circle.pointed").count(), 1);
});

const theirs: Figures["nets"][number] = {
  net: "lenet5",
  batch: 1,
  dtype: "f32",
  medianMs: 0.5,
  fastestMs: 0.4,
  runs: 10,
  coldMs: 40,
  agreement: 1e-6,
};
const bytesOf = (value: unknown) => Buffer.from(JSON.stringify(value));

inBrowser(
  "others' figures beside one's own, dropped and chosen; files that are none; saved figures are read again",
  async () => {
    const dropped = (name: string, bytes: Buffer) => drop(page, "time", name, "application/json", bytes);
    await dropped("theirs.json", bytesOf(sampleFigures([theirs])));
    await page.getByRole("button", { name: "Remove theirs.json" }).waitFor();
    assert.match(
      await textOf("#time-files"),
      /^maker Card 7theirs\.json · Node 20\.1\.2 · linux x64 · 2026-01-02 · 1 net/,
    );
    assert.match(await textOf("#beside"), /^lenet5[\d.]+ m?smaker Card 7 · lenet540 ms$/);
    await page.locator("#time-by").selectOption("warm");
    assert.match(await textOf("#beside"), /maker Card 7 · lenet50\.5 ms$/);
    await page.waitForURL((url) => !url.hash.includes("by="));
    const { medianMs: _, ...without } = theirs;
    const bad: [Buffer, RegExp][] = [
      [Buffer.from("{"), /^Bad\.json is damaged or no JSON/],
      [bytesOf({ ...sampleFigures([theirs]), version: 7 }), /has version 7 of the format/],
      [bytesOf(sampleFigures([without as never])), /has nothing for nets\[0\]\.medianMs/],
      [bytesOf([]), /^Bad\.json has no figures of nets/],
      [Buffer.alloc(6_000_000, 32), /^Bad\.json has no figures of nets/],
    ];
    for (const [bytes, wanted] of bad) {
      await dropped("bad.json", bytes);
      assert.match(await waitFor("time-problem", wanted, "no-problem"), wanted);
    }
    assert.is(await page.locator("#time-files li").count(), 1);
    const saved = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save figures" }).click();
    const path = await (await saved).path();
    const file = readFigures(readFileSync(path, "utf8"), "the page's file");
    assert.equal([file?.shadenet, file?.adapter.software, file?.nets.length], [ownVersion(), true, 1]);
    assert.match(file?.runtime ?? "", /^Chrome \d+/);
    const exported = page.waitForEvent("download");
    await page.getByRole("button", { name: "Layers as JSON" }).click();
    const timing = JSON.parse(readFileSync(await (await exported).path(), "utf8"));
    assert.equal([timing.net, timing.layers.length, timing.figures], ["lenet5", 8, file?.nets[0]]);
    for (const { milliseconds, cold } of timing.layers) assert.ok(milliseconds >= 0 && cold >= 0);
    await page
      .locator("#figures-file")
      .setInputFiles({ name: "mine.json", mimeType: "application/json", buffer: readFileSync(path) });
    await page.getByRole("button", { name: "Remove mine.json" }).waitFor();
    assert.ok(await page.locator("#time-problem").isHidden());
    await inspect(page, "time");
    await page.getByRole("button", { name: "Remove theirs.json" }).press("Enter");
    await page.getByRole("button", { name: "Remove mine.json" }).click();
    assert.match(await textOf("#beside"), /^lenet5[\d.]+ m?s$/);
  },
);

inBrowser("another net is shown without figures of the one before, which come back with it", async () => {
  const total = await textOf("#total-warm");
  const [before, after] = await page.evaluate(() => {
    const seen = () =>
      [document.getElementById("total-warm"), document.querySelector(".times tbody")].map((e) => e?.textContent);
    const texts = [seen()];
    const select = document.getElementById("time-net") as HTMLSelectElement;
    select.value = "shufflenet_v2_x0_5";
    select.dispatchEvent(new Event("change"));
    return [...texts, seen()];
  });
  assert.is(before[0], total);
  assert.equal(after, ["–", ""]);
  await page.waitForFunction(() => document.querySelectorAll(".times.unmeasured tbody tr").length > 20);
  assert.is(await measure().textContent(), "Measure");
  await page
    .locator("#beside")
    .getByRole("button", { name: /^lenet5/ })
    .press("Enter");
  assert.is(await textOf("#total-warm"), total);
});

/** Measures, and has something happen as soon as that is under way. */
async function disturb(happen: () => Promise<void>): Promise<void> {
  await measure().click();
  await page.locator("#time-bar[value]").waitFor();
  await happen();
  await page.waitForFunction(() => !(document.getElementById("measure") as HTMLButtonElement).disabled);
  // Where it was lost while the net was loaded, the library has opened another one.
  const isLost = await page.locator("#time-problem").isVisible();
  if (isLost) assert.match(await textOf("#time-problem"), /^The (GPU device was lost|worker ended)/);
  else assert.match(await textOf("#time-status"), /is measured/);
  if (isLost) assert.is(await textOf("#total-warm"), "–");
  await measure().click();
  await waitFor("time-status", /^lenet5 is measured/);
  assert.match(await textOf("#total-warm"), /^[\d.]+ m?s$/);
}

inDepth("the worker ends while it measures: that is said, and the next measurement goes on", () =>
  disturb(() => inWorker(page, "measurement", () => close())),
);

if (isDeep) {
  inBrowser("its device is lost", () => disturb(() => loseDevice(page, "measurement")));

  inBrowser("the GPU's process ends", async () => {
    await disturb(() => killGpu(page));
    const notice = page.locator("#notice");
    await notice.waitFor();
    await page.getByRole("button", { name: "Close" }).click();
  });

  inBrowser("nets of an address are measured together, and stand side by side; cancelled in between", async () => {
    page = await site.open("#time?net=lenet5&nets=lenet5,shufflenet_v2_x0_5");
    await waitFor("time-status", /^Takes about/);
    assert.is(await measure().textContent(), "Measure 2 nets");
    await measure().click();
    await waitFor("time-status", /^Measuring/);
    await page.locator("#cancel-time").click();
    await page.waitForFunction(() => !(document.getElementById("measure") as HTMLButtonElement).disabled);
    assert.ok(await page.locator("#time-problem").isHidden());
    await measure().click();
    await waitFor("time-status", /are measured/);
    assert.match(await textOf("#beside"), /^lenet5[\d.]+ m?sshufflenet_v2_x0_5[\d.]+ m?s$/);
    await inspect(page, "time-two");
    await page.locator("#time-net").selectOption("lenet5");
    await page.getByRole("button", { name: "Remove lenet5" }).click();
    assert.match(await textOf("#beside"), /^shufflenet_v2_x0_5[\d.]+ m?s$/);
    assert.match(await page.evaluate(() => location.hash), /^#time\?net=shufflenet_v2_x0_5&nets=shufflenet_v2_x0_5$/);
    assert.ok(await page.getByRole("button", { name: /^Remove/ }).isHidden());
  });
}

inBrowser("accessibility", () => assert.equal(inspected.violations, []));

const opened = await openSite("page-time");
if (opened) site = opened;
test.run();
