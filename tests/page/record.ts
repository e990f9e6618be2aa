// npm run record [-- view...]: takes the pictures that the page shows where there is no WebGPU, of runs in Chromium, light and
// dark, into examples/page/recorded. By hand, when a view has changed; Images wants the network for its weights.
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { launch } from "../../bench/browser/launch.ts";
import { serve } from "../../bench/browser/server.ts";
import { buildPage } from "../../examples/build_page.ts";
import { RECORDINGS, type Recorded } from "../../examples/page/recorded.ts";

const TARGET = fileURLToPath(new URL("../../../examples/page/recorded/", import.meta.url));

/** Of a picture, as examples/page/recorded.ts has them. */
const [WIDTH, HEIGHT] = [1280, 720];

const MOST_BYTES = 60_000;

const LIMIT_MS = 10 * 60_000;

/** Until an element says something. */
const said = (page: Page, id: string, wanted: RegExp): Promise<unknown> =>
  page.waitForFunction(
    ([id, source]) => new RegExp(source).test(document.getElementById(id)?.textContent ?? ""),
    [id, wanted.source] as const,
    { timeout: LIMIT_MS },
  );

/** What brings each view into a state that says what it is for. */
const PREPARATIONS: Readonly<Record<Recorded, (page: Page) => Promise<unknown>>> = {
  async digits(page) {
    await page.getByRole("button", { name: "3", exact: true }).click();
    await said(page, "digit-status", /sure/);
    const canvas = page.locator(".stage.tanh2 canvas");
    const box = await canvas.boundingBox();
    if (box) await canvas.click({ position: { x: 0.7 * box.width, y: 0.3 * box.height } });
  },
  async train(page) {
    await page.getByRole("button", { name: "Start", exact: true }).click();
    await said(page, "mistakes-text", /after step (2[4-9]|[3-9]\d)\d/);
    await page.getByRole("button", { name: "Pause" }).click();
  },
  async teach(page) {
    await page.getByRole("button", { name: "Try it with digits" }).click();
    await page.getByRole("button", { name: "Train", exact: true }).click();
    await said(page, "teach-status", /^Trained/);
    const box = await page.locator("#teach-pad").boundingBox();
    if (!box) throw new Error("the pad is not shown");
    const at = (x: number, y: number) => [box.x + x * box.width, box.y + y * box.height] as const;
    await page.mouse.move(...at(0.3, 0.3));
    await page.mouse.down();
    for (const [x, y] of [
      [0.5, 0.2],
      [0.7, 0.35],
      [0.3, 0.8],
      [0.75, 0.8],
    ])
      await page.mouse.move(...at(x, y), { steps: 5 });
    await page.mouse.up();
    await said(page, "teach-answer", /\d/);
    await page.locator("#confusion button").nth(2).click();
  },
  async images(page) {
    await page.getByRole("button", { name: /^Load mobilenet/ }).click();
    await said(page, "images-status", /(is|Nothing is) loaded/);
    if ((await page.locator("#images-problem").textContent()) !== "") {
      // Without the network noise has to do.
      await page.locator("#net").selectOption("shufflenet_v2_x0_5");
      await said(page, "net-text", /^1.37 million/);
      await page.locator("#own-weights summary").click();
      await page.getByRole("button", { name: /^Random/ }).click();
      await page.locator("#own-weights summary").click();
    }
    await said(page, "heat-text", /, 7 × 7$/);
    await said(page, "layer-text", / maps of /);
  },
  async time(page) {
    await page.locator("#time-net").selectOption("squeezenet1_1");
    await page.getByRole("button", { name: "Measure" }).click();
    await said(page, "time-status", /(is|are) measured/);
  },
  async kernels(page) {
    await page.locator("#kernel").selectOption("conv2d_subgroup");
    await page.waitForTimeout(1000);
    await said(page, "race", /shipped/);
  },
  async how(page) {
    await said(page, "how-agreement", /rms/);
    await page.locator("#how-passes").scrollIntoViewIfNeeded();
  },
};

/** A view's first screen as WebP, as good as the bytes allow. */
async function picture(page: Page, view: Recorded): Promise<Buffer> {
  const top = page.locator(view === "how" ? "#how-parts > section:has(#how-passes)" : `#panel-${view}`);
  const box = await top.boundingBox();
  if (!box) throw new Error(`${view} is not shown`);
  const [x, y] = await page.evaluate(() => [scrollX, scrollY]);
  const clip = { x: Math.max(0, box.x + x - 16), y: Math.max(0, box.y + y - 8), width: WIDTH, height: HEIGHT };
  const png = await page.screenshot({ fullPage: true, clip });
  const webp = await page.evaluate(encode, [`data:image/png;base64,${png.toString("base64")}`, MOST_BYTES] as const);
  return Buffer.from(webp.split(",")[1], "base64");
}

/** In the page: a picture as WebP of so many bytes at most, as base64. */
async function encode([url, most]: readonly [string, number]): Promise<string> {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d")?.drawImage(image, 0, 0);
  for (let quality = 0.75; quality > 0.1; quality -= 0.05) {
    const webp = canvas.toDataURL("image/webp", quality);
    if ((webp.length * 3) / 4 < most) return webp;
  }
  throw new Error("no quality makes it small enough");
}

const wanted = process.argv.slice(2) as Recorded[];
const unknown = wanted.find((view) => !Object.hasOwn(RECORDINGS, view));
if (unknown !== undefined) {
  console.error(`there is no view ${unknown}; there are ${Object.keys(RECORDINGS).join(", ")}`);
  process.exit(2);
}
const browser = await launch();
if (typeof browser === "string") {
  console.error(`no browser with WebGPU can be started (${browser})`);
  process.exit(1);
}
const folder = fileURLToPath(new URL("../../record", import.meta.url));
await (await buildPage(folder)).dispose();
const server = await serve(folder);
mkdirSync(TARGET, { recursive: true });
try {
  const context = await browser.newContext({ viewport: { width: WIDTH + 32, height: 800 } });
  for (const view of wanted.length > 0 ? wanted : (Object.keys(RECORDINGS) as Recorded[])) {
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    await page.goto(`${server.origin}/${view === "how" ? "how.html" : `index.html#${view}`}`);
    if (view !== "how" && (await page.locator(`#panel-${view}`).count()) === 0) {
      console.log(`${view} is no view of the page yet`);
      continue;
    }
    await PREPARATIONS[view](page);
    for (const scheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.waitForTimeout(500);
      const file = `${view}${scheme === "dark" ? "-dark" : ""}.webp`;
      const bytes = await picture(page, view);
      writeFileSync(`${TARGET}${file}`, bytes);
      console.log(`${file}: ${bytes.length} bytes`);
    }
    await page.close();
  }
} finally {
  await browser.close();
  server.close();
}
