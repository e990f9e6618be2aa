// The page's view "Kernels" in a real browser: what is on screen is what ran, what is kept of it, and what goes wrong.
import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
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
/** tanh as it is shipped. */
let shipped = "";

const waitFor = (id: string, wanted: RegExp, problem = "kernels-problem"): Promise<string> =>
  waitForText(page, id, wanted, problem);
const textOf = async (id: string): Promise<string> => (await page.locator(`#${id}`).textContent()) ?? "";
const source = () => page.getByRole("textbox", { name: "WGSL" });
const button = (name: string) => page.getByRole("button", { name });
/** What takes long. */
const isRaced = () => waitFor("race", /fast|slow/);

/** tanh with another workgroup: as many of them as before leave elements out, or have threads to spare. */
const workgroup = (size: number): string => shipped.replace("WORKGROUP: u32 = 64", `WORKGROUP: u32 = ${size}`);

inBrowser("a kernel that the address names is shown with its comments, compared and timed", async () => {
  page = await site.open("#kernels?kernel=tanh");
  await isRaced();
  shipped = await source().inputValue();
  assert.match(shipped, /^\/\/ tanh/, "the header is missing");
  assert.is(await textOf("draft"), "As shipped.");
  assert.match(await textOf("worst"), /^y\[\d(, \d)*\]: got -?[\d.]+, wanted -?[\d.]+$/);
  assert.ok(await button("Back to the original").isDisabled());
});

inBrowser("edit it into an error and back, into a wrong one and one that never ends", async () => {
  const broken = shipped.replace("if (index", "iff (index");
  assert.is.not(broken, shipped);
  await source().fill(broken);
  await waitFor("compiles", /No: /);
  const line = broken.split("\n").findIndex((text) => text.includes("iff")) + 1;
  assert.match(await textOf("diagnostics"), new RegExp(`Line ${line}`));
  assert.is(await page.locator(".numbers .error").first().textContent(), `${line}\n`);
  await inspect(page, "kernels");
  await source().fill(shipped.replace(/y\[index\] = /, "y[index] = 0.5 * "));
  await waitFor("agrees", /^No: /);
  const [, got, wanted] = /got (\S+), wanted (\S+)$/.exec(await waitFor("worst", /^y\[/)) ?? [];
  assert.ok(Math.abs(Number(got) - 0.5 * Number(wanted)) < 1e-5, `${got} is not half of ${wanted}`);
  await source().fill(
    shipped.replace(/y\[index\] = .*/, "for (var k = 0.0; k >= 0.0; k += 1.0) { y[index] = Real(k); }"),
  );
  await waitFor("agrees", /^No: /);
  await source().fill(shipped);
  await waitFor("agrees", /^Yes: /);
  await isRaced();
});

inDepth("constants run as they are typed; results are dimmed as soon as something else stands there", async () => {
  await source().fill(workgroup(4096));
  await waitFor("compiles", /^No: 1 error/);
  assert.match(await textOf("diagnostics"), /4096/);
  assert.is(await textOf("agrees"), "–");
  await source().fill(workgroup(1));
  await waitFor("agrees", /^No: /);
  const stale = await source().evaluate((field, text) => {
    (field as HTMLTextAreaElement).value = text;
    field.dispatchEvent(new Event("input"));
    const dimmed = [...document.querySelectorAll(".stale")].map(({ id }) => id);
    return {
      dimmed,
      agrees: document.getElementById("agrees")?.textContent,
      said: document.getElementById("edited-since")?.textContent,
    };
  }, workgroup(128));
  assert.match(stale.agrees ?? "", /^No: /);
  assert.ok(stale.dimmed.includes("agrees") && stale.dimmed.includes("worst"));
  assert.match(stale.said ?? "", /^Edited since/);
  await waitFor("agrees", /^Yes: /);
  await isRaced();
  assert.equal([await page.locator(".stale").count(), await textOf("edited-since")], [0, ""]);
});

inBrowser("run a net with it: its time, and the first layer that differs", async () => {
  await button("Run LeNet-5 with it").tap();
  await waitFor(
    "net-run",
    /^The logits agree .* No layer differs\. 4 of \d+ dispatches are yours: [\d.]+ m?s per image/,
  );
  await source().fill(workgroup(1));
  assert.ok(await page.locator("#net-run.stale").count());
  await waitFor("agrees", /^No: /);
  assert.match(await textOf("net-run"), /^The logits agree/, "what it says is still of the source before");
  await button("Run LeNet-5 with it").press("Enter");
  await waitFor(
    "net-run",
    /^The logits differ .*\btanh1 is the first layer that differs \(tanh, by [\d.]+ × 10\S+ of the rms\)/,
  );
  assert.is(await page.locator("#net-run.stale").count(), 0);
});

inDepth("an edit is kept in the browser and in the address, and not run before it is asked for", async () => {
  const mine = workgroup(32);
  await source().fill(mine);
  await waitFor("draft", /^Edited: kept in this browser; the address has it, too\.$/);
  await page.waitForURL(/#kernels\?kernel=tanh&wgsl=[\w-]+$/);
  await waitFor("agrees", /^No: /);
  const address = page.url();
  await page.locator("#kernel").selectOption("relu");
  await isRaced();
  await page.goto("about:blank");
  await page.goto(`${site.origin}/#kernels?kernel=tanh`);
  await waitFor("kernels-status", /^Kept from your last visit; it has not run yet/);
  assert.is(await source().inputValue(), mine);
  assert.is(await textOf("compiles"), "–");
  assert.is(await page.locator("#kernel option:checked").textContent(), "tanh (edited)");
  await button("Back to the original").click();
  await isRaced();
  assert.is(await source().inputValue(), shipped);
  await page.waitForURL(/#kernels\?kernel=tanh$/);
  await page.goto(address);
  await waitFor("kernels-status", /^This source came with the address; it has not run yet/);
  assert.is(await source().inputValue(), mine);
  await waitFor("draft", /^Edited: not kept in this browser; the address has it, too\.$/);
  await source().press("Control+Enter");
  await waitFor("agrees", /^No: /);
  assert.is(await textOf("kernels-status"), "");
});

inDepth("addresses that are cut off or name no kernel, and an edit that is too long for one", async () => {
  const goTo = (hash: string) => page.evaluate((hash) => location.assign(hash), hash);
  await goTo("#kernels?kernel=tanh&wgsl=hVTLbtswELzr");
  await waitFor("kernels-problem", /^The address has a source that is damaged/, "no-problem");
  await goTo("#kernels?kernel=nothing");
  await waitFor("kernels-problem", /^The address names a kernel that there is not on this device/, "no-problem");
  const letters = Array.from({ length: 12_000 }, (_, i) => Math.imul(i, 2654435761) >>> 0).map((n) => n.toString(36));
  await source().fill(`${shipped}// ${letters.join(" ")}\n`);
  await waitFor("draft", /too long for the address \([\d,]+ characters, 8,000 at most\): save it as a file\.$/);
  assert.match(page.url(), /#kernels\?kernel=tanh$/);
  await button("Back to the original").press(" ");
  await isRaced();
});

inDepth("save it as a file, open it again by the picker and by a drop; files that are no kernel", async () => {
  await source().fill(workgroup(128));
  await waitFor("draft", /^Edited: /);
  const saving = page.waitForEvent("download");
  await button("Save").click();
  const file = await saving;
  assert.is(file.suggestedFilename(), "tanh.wgsl");
  const buffer = readFileSync(await file.path());
  assert.is(buffer.toString(), workgroup(128));
  await button("Back to the original").click();
  await isRaced();
  await page.locator("#kernel").selectOption("relu");
  await isRaced();
  await page.locator("#wgsl-file").setInputFiles({ name: "tanh.wgsl", mimeType: "text/plain", buffer });
  await waitFor("agrees", /^Yes: tanh/);
  assert.equal([await page.locator("#kernel").inputValue(), await source().inputValue()], ["tanh", workgroup(128)]);
  await drop(page, "kernels", "mine.wgsl", "text/plain", Buffer.from(workgroup(1)));
  await waitFor("agrees", /^No: tanh/);
  await drop(page, "kernels", "image.png", "image/png", Buffer.from([0x89, 0x50, 0xff, 0]));
  await waitFor("kernels-problem", /^Image\.png is no text in UTF-8; wanted a \.wgsl file$/, "no-problem");
  await drop(page, "kernels", "long.wgsl", "text/plain", Buffer.alloc(300_000, 32));
  await waitFor(
    "kernels-problem",
    /^Long\.wgsl has 300000 bytes; wanted a \.wgsl file of 200000 at most$/,
    "no-problem",
  );
  assert.is(await source().inputValue(), workgroup(1));
  await button("Back to the original").click();
  await isRaced();
});

inDepth(
  "the ladder of an operator: what each variant gains, why others do not apply; its kernels can be opened",
  async () => {
    assert.is(await textOf("ladder-title"), "Ways to compute tanh");
    await page.locator("#kernel").selectOption("linear");
    await isRaced();
    await button("Measure them").press("Enter");
    await page.locator(".rung").first().waitFor();
    const rungs = await page.locator(".rung").allTextContents();
    assert.match(rungs[0], /^linear1 ×[\d.]+ m?s/);
    assert.ok(rungs.length >= 2, "there is one way only");
    for (const rung of rungs) assert.match(rung, /^\w+ ?[\d.,]+ ×[\d.]+ m?s/);
    assert.is(await page.locator(".rung.taken").count(), 1);
    assert.match(await textOf("ladder"), /^linear of fc in resnet18: x \[1, 512\], w \[1000, 512\]/);
    for (const reason of await page.locator("#ladder details li").allTextContents()) assert.match(reason, /^\w+: \S+/);
    await inspect(page, "kernels-ladder");
    await page.locator(".rung").nth(1).getByRole("button").last().click();
    await page.waitForURL((url) => !url.hash.endsWith("kernel=linear"));
  },
);

inDepth("the playground's device is lost, idle and running: Run goes on", async () => {
  await page.locator("#kernel").selectOption("tanh");
  await isRaced();
  await loseDevice(page, "playground");
  await waitForText(page, "kernels-problem", /device was lost/);
  await button("Run what is on screen").click();
  await waitFor("agrees", /^Yes: /);
  await isRaced();
  await page.locator("#run-net").click();
  await loseDevice(page, "playground");
  await waitForText(page, "kernels-problem", /device was lost/);
  await page.locator("#run-net").click();
  await waitFor("net-run", /The logits agree.* 4 of \d+ dispatches are yours/);
  assert.ok(await page.locator("#notice").isHidden(), "the rest of the page has noticed");
});

inDepth("the worker and the GPU's process end: Run goes on", async () => {
  await inWorker(page, "playground", () => close());
  await waitForText(page, "kernels-problem", /worker ended/);
  await button("Run what is on screen").click();
  await isRaced();
  await killGpu(page);
  await waitForText(page, "kernels-problem", /lost/);
  assert.is(await source().inputValue(), shipped);
  await source().press("Control+Enter");
  await isRaced();
  await button("Measure them").click();
  await page.locator(".rung").first().waitFor();
});

inBrowser("accessibility", () => assert.equal(inspected.violations, []));

const opened = await openSite("page-kernels");
if (opened) site = opened;
test.run();
