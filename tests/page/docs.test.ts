// What explains the page: the guide, how a convolution is compiled, and pictures where there is no WebGPU.
import { statSync } from "node:fs";
import type { Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../engine/definition.ts";
import { compile, optimize } from "../../engine/graph/compile.ts";
import { type PassName, passes, prune } from "../../engine/graph/passes.ts";
import { bytesOf, DEFAULT_LIMITS } from "../../engine/graph/plan.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { IMAGENET } from "../../engine/image/transforms.ts";
import { RECORDINGS } from "../../examples/page/recorded.ts";
import { type Compiling, NET, OUTPUT, SEED, SIDE } from "../../examples/page/worker/compiling.ts";
import { preprocess, rates } from "../../index.ts";
import { variants as byFourLanes } from "../../kernels/variants_broadcast.ts";
import { variants as byMore } from "../../kernels/variants_software.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { assertOutputs, isDeep, kernelsOf } from "../harness.ts";
import {
  inBrowser,
  inDepth,
  inspect,
  inspected,
  inWorker,
  killGpu,
  loseDevice,
  openSite,
  type Site,
  settle,
  waitForText,
} from "./visit.ts";

const site = (await openSite("page-docs")) as Site;
let page: Page;

/** In a page: keeps what the worker tells of the compiling, and hides WebGPU where the address says so. */
function prepare(): void {
  if (location.search === "?without") Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined });
  const { Worker } = globalThis;
  globalThis.Worker = class extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      this.addEventListener("message", ({ data: { progress } }) => {
        if (progress?.stages) Object.assign(globalThis, { told: progress });
      });
    }
  };
}

const texts = (selector: string): Promise<string[]> =>
  page.locator(selector).evaluateAll((all) => all.map((each) => each.textContent ?? ""));

const viewsOf = (on: Page): Promise<string[]> =>
  on.getByRole("tab").evaluateAll((tabs) => tabs.map((tab) => (tab as HTMLAnchorElement).hash.slice(1)));

/** The names in each column of a table, in which a cell may be several rows high. */
const columns = (table: string): Promise<string[][]> =>
  page.locator(table).evaluate((table) => {
    const { rows, tHead } = table as HTMLTableElement;
    const names = [...(tHead?.rows[0].cells ?? [])].map((): string[] => []);
    // Rows that the last cell of each column still takes.
    const left = names.map(() => 0);
    for (const row of [...rows].slice(1)) {
      const cells = [...row.cells];
      for (const [i, column] of names.entries()) {
        const cell = left[i] > 0 ? undefined : cells.shift();
        if (cell) column.push(cell.querySelector("strong")?.textContent ?? "");
        left[i] = (cell?.rowSpan ?? left[i]) - 1;
      }
    }
    return names;
  });

/** What a picture of a view is like once it has loaded. */
async function recording(on: Page, panel: string) {
  const image = on.locator(`${panel} .recording img`);
  await image.scrollIntoViewIfNeeded();
  return image.evaluate(async (image) => {
    const { alt, naturalWidth, currentSrc } = await (image as HTMLImageElement)
      .decode()
      .then(() => image as HTMLImageElement);
    return { alt, naturalWidth, file: new URL(currentSrc).pathname };
  });
}

inBrowser("without WebGPU every view is a picture of a real run, loaded as it is seen", async () => {
  await site.context.addInitScript(prepare);
  const blind = await site.open("?without");
  const loaded: string[] = [];
  blind.on("request", (request) => void loaded.push(new URL(request.url()).pathname));
  await waitForText(blind, "no-gpu", /Open this page in a browser that has WebGPU: Chrome or Edge/);
  for (const view of await viewsOf(blind)) {
    await blind.locator(`#tab-${view}`).click();
    await blind.locator(`#panel-${view}`).waitFor({ state: "visible" });
    assert.is(await blind.locator(`#panel-${view} > :visible`).count(), 1, `${view} shows more than its picture`);
    const { alt, naturalWidth, file } = await recording(blind, `#panel-${view}`);
    assert.is(alt, RECORDINGS[view as keyof typeof RECORDINGS]);
    assert.is(naturalWidth, 1280);
    assert.is(file, `/recorded/${view}.webp`);
    for (const name of [file, file.replace(".webp", "-dark.webp")]) {
      assert.ok(statSync(`${site.folder}${name}`).size <= 60_000, `${name} is too large`);
    }
    if (isDeep) await inspect(blind, `recorded-${view}`);
  }
  await blind.goto(`${site.origin}/how.html?without`);
  const { naturalWidth } = await recording(blind, "#how");
  assert.is(naturalWidth, 1280);
  if (isDeep) await inspect(blind, "recorded-how");
  await blind.close();
});

inBrowser("how a convolution is compiled: what is shown is what the library does in Node", async () => {
  page = await site.open("how.html");
  await waitForText(page, "how-agreement", /differs/, "how-problem");
  const told = await page.evaluate(() => (globalThis as unknown as { told: Compiling }).told);
  const graph = trace(NET, { imageSize: SIDE });
  const variants = told.traits.subgroupSize === 4 ? byFourLanes : byMore;
  const target = { traits: { ...told.traits, rates: rates.software }, variants, limits: DEFAULT_LIMITS };
  const plan = compile(graph, [OUTPUT], target);

  const names = Object.keys(passes) as PassName[];
  const operators = [
    prune(graph, [OUTPUT]),
    ...names.map((_, i) => optimize(graph, [OUTPUT], names.slice(0, i + 1))),
  ].map(kernelsOf);
  assert.equal(
    await texts("#how-passes thead .quiet"),
    operators.map(({ length }) => `${length} operators`),
  );
  assert.equal(await columns("#how-passes"), operators);

  const { choice } = plan.steps.findLast(({ converts }) => !converts) as (typeof plan.steps)[number];
  assert.match((await texts("#how-why"))[0], `is run as ${choice?.variant}: ${choice?.why}.`);
  assert.match((await texts("#how-ways .chosen"))[0], choice?.variant as string);

  const grids = plan.steps.map(({ grid }) => `dispatchWorkgroups(${grid.join(", ")})`);
  const commands = await texts("#how-commands li");
  assert.equal(
    commands.filter((each) => each.startsWith("dispatch")),
    grids,
  );
  assert.is(commands.filter((each) => each.startsWith("submit")).length, 1);
  assert.is(commands.at(-1), "submit(1 command buffer)");
  assert.equal(
    await texts("#how-times tbody td:first-child"),
    plan.steps.map(({ kernel }) => kernel),
  );

  const { activations, weights } = bytesOf(plan);
  const kib = (bytes: number) => `${Math.round(bytes / 1024)} KiB`;
  const memory = (await texts("#how-memory"))[0];
  for (const part of [`take ${kib(activations)} in ${plan.buffers.length} buffers`, `Weights take ${kib(weights)}`])
    assert.match(memory, part);
  assert.equal(told.memory.buffers, plan.buffers);
  assert.is(await page.locator(".stay").count(), 1 + plan.steps.length);

  // What the GPU has computed of the pixels that are shown, by the definitions of the operators.
  const data = await page
    .locator("#how-image")
    .evaluate((canvas) => [...((canvas as HTMLCanvasElement).getContext("2d")?.getImageData(0, 0, 64, 64).data ?? [])]);
  const image = { width: SIDE, height: SIDE, data: Uint8Array.from(data) };
  const tensors: Record<string, Tensor> = {
    x: { shape: [1, 3, SIDE, SIDE], data: preprocess(image, { ...IMAGENET, resize: SIDE, crop: SIDE }) },
  };
  const checkpoint = randomWeights(NET, { imageSize: SIDE }, SEED);
  for (const [name, { shape }] of checkpoint.tensors) tensors[name] = { shape, data: await checkpoint.read(name) };
  assertOutputs({ [OUTPUT]: told.output }, prune(graph, [OUTPUT]), [OUTPUT], tensors);
});

inDepth("the code of each step, with its comments and the constants that were set", async () => {
  const told = await page.evaluate(() => (globalThis as unknown as { told: Compiling }).told);
  for (const { layer, steps } of told.lowered) {
    await page.locator(`#how-layers [data-name="${layer}"]`).press("Enter");
    assert.match(await page.evaluate(() => location.hash), `layer=${layer}`);
    for (const i of steps) {
      const { kernel, code, consts, params, bindings } = told.steps[i];
      await page.locator(`#how-steps [data-name="${kernel}"]`).press("Enter");
      await page.waitForFunction(
        (wanted) =>
          document
            .getElementById("how-code")
            ?.textContent?.replace(/\/\/.*/g, "")
            .replace(/\s+/g, "") === wanted,
        code.replace(/\/\/.*/g, "").replace(/\s+/g, ""),
      );
      assert.match((await texts("#how-code"))[0], /Threads: /);
      assert.is(await page.locator("#how-code mark").count(), Object.keys(consts).length);
      assert.is(await page.locator("#how-params dt").count(), params.length);
      assert.is(await page.locator("#how-bindings tbody tr").count(), bindings.length);
    }
  }
});

inDepth("the guide is a click away from each view, at its part", async () => {
  const opened = await site.open("");
  for (const view of await viewsOf(opened)) {
    await opened.locator(`#tab-${view}`).click();
    await opened.getByRole("link", { name: "Guide" }).click();
    await opened.waitForURL(/guide\.html/);
    assert.is(await opened.evaluate(() => document.querySelector(":target")?.id), view);
    assert.is(await opened.locator("script").count(), 0);
    await opened.locator(`#${view} h2 a`).click();
    await opened.locator(`#panel-${view}`).waitFor({ state: "visible" });
  }
  await opened.goto(`${site.origin}/guide.html`);
  if (isDeep) await inspect(opened, "guide");
  await opened.close();
});

if (isDeep) {
  inBrowser("a link shows what was followed", async () => {
    await page.goto(`${site.origin}/how.html#how?layer=maxpool`);
    await page.reload();
    await waitForText(page, "how-agreement", /differs/, "how-problem");
    assert.match((await texts("#how-why"))[0], /^maxpool, a maxpool2d that gives 64 × 16 × 16/);
  });

  inBrowser("a device lost, a GPU process killed, a worker ended: another run opens them again", async () => {
    const again = async () => {
      await page.getByRole("button", { name: "Run it again" }).click();
      await waitForText(page, "how-agreement", /differs/, "how-problem");
    };
    await loseDevice(page, "how");
    await again();
    await killGpu(page);
    await again();
    await inWorker(page, "how", () => close());
    await page.getByRole("button", { name: "Run it again" }).click();
    await waitForText(page, "how-problem", /^The worker ended/);
    await again();
    assert.ok(await page.locator("#how-problem").isHidden());
  });

  inBrowser("accessibility, and no line that is too long from 320 pixels to 4K", async () => {
    await inspect(page, "how");
    for (const width of [320, 390, 768, 1280, 3840]) {
      await page.setViewportSize({ width, height: 800 });
      await settle(page);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0, `${width} pixels`);
    }
    assert.equal(inspected.violations, []);
  });
}

test.run();
