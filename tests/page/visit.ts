// The page of examples/page in a real browser: what its tests share.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { BrowserContext, Locator, Page } from "playwright-core";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { launch } from "../../bench/browser/launch.ts";
import { type Handler, serve, text } from "../../bench/browser/server.ts";
import { buildPage } from "../../examples/build_page.ts";
import { deepOnly, isDeep } from "../harness.ts";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const SHOTS = `${ROOT}.screenshots`;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await launch();

/** A test, where there is a browser. */
export const inBrowser = typeof browser === "string" ? test.skip : test;

/** One for deep runs: what `npm test` leaves to CI, since all of them take minutes. */
export const inDepth: (...given: Parameters<typeof inBrowser>) => void = deepOnly(inBrowser);

/** What the worker's script begins with: keeps its devices, so that a test can lose them; refuses adapters if asked to. */
const SPY = (isRefused: boolean): string => `
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...given) {
  const device = await requestDevice.apply(this, given);
  (globalThis.devices ??= []).push(device);
  return device;
};
if (${isRefused}) GPU.prototype.requestAdapter = async () => null;
`;

/** A test that waits for longer than this has failed: far longer than a busy machine takes. */
const LIMIT_MS = 200_000;

/** On a busy machine nothing may be given up, nor be long ago: the page's clock and its long timers run slowly. */
function slowDown(): void {
  const times = 20;
  const [now, later] = [performance.now.bind(performance), setTimeout];
  performance.now = () => now() / times;
  globalThis.setTimeout = ((work: () => void, ms = 0, ...rest: unknown[]) =>
    later(work, ms < 10_000 ? ms : ms * times, ...rest)) as typeof setTimeout;
}

/** Whatever the page logs or throws unasked fails the test that runs then. */
const complaints: string[] = [];

/** The page, built and served, and a browser to visit it with. */
export interface Site {
  readonly origin: string;
  /** Where its files are. */
  readonly folder: string;
  readonly context: BrowserContext;
  /** Whether the page's workers get no adapter. */
  isRefused: boolean;
  open(path: string): Promise<Page>;
}

/**
 * Builds and serves the page, and what the handlers make up; all ends with the tests of the file. Nothing where there is no
 * browser, and nothing is run then.
 */
export async function openSite(
  name: string,
  handlers: Readonly<Record<string, Handler>> = {},
): Promise<Site | undefined> {
  if (typeof browser === "string") {
    console.log(`note: skipped, for no browser with WebGPU can be started (${browser})`);
    return undefined;
  }
  mkdirSync(SHOTS, { recursive: true });
  const folder = fileURLToPath(new URL(`../../${name}`, import.meta.url));
  const bundler = await buildPage(folder);
  await bundler.dispose();
  const sendWorker: Handler = (_request, response) => {
    const script = readFileSync(`${folder}/worker.js`, "utf8");
    response.writeHead(200, { "content-type": "text/javascript" }).end(`${SPY(site.isRefused)}${script}`);
  };
  const server = await serve(folder, {
    "/": text("text/html", readFileSync(`${folder}/index.html`, "utf8")),
    "/worker.js": sendWorker,
    ...handlers,
  });
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    acceptDownloads: true,
    hasTouch: true,
  });
  context.setDefaultTimeout(LIMIT_MS);
  await context.addInitScript(slowDown);
  const { origin } = server;
  const site: Site = {
    origin,
    folder,
    context,
    isRefused: false,
    async open(path) {
      const opened = await context.newPage();
      opened.on("pageerror", ({ message }) => complaints.push(message));
      opened.on("console", (message) => {
        const text = message.text();
        // The browser itself reports what could not be loaded.
        if (message.type() === "error" && !/Failed to load resource/.test(text)) complaints.push(text);
      });
      await opened.goto(`${origin}/${path}`);
      return opened;
    },
  };
  test.after.each(() => {
    assert.equal(complaints.splice(0), [], "the page complained");
  });
  test.after(async () => {
    await browser.close();
    server.close();
  });
  return site;
}

/** Waits until an element's text is as wanted, or a problem is shown instead of it. */
export async function waitForText(page: Page, id: string, wanted: RegExp, problem = "no-problem"): Promise<string> {
  const handle = await page.waitForFunction(
    ([id, source, problem]) => {
      const text = document.getElementById(id)?.textContent ?? "";
      const trouble = document.getElementById(problem);
      if (new RegExp(source).test(text)) return text;
      return trouble && !trouble.hidden ? `problem: ${trouble.textContent}` : false;
    },
    [id, wanted.source, problem] as const,
    { timeout: LIMIT_MS },
  );
  const text = String(await handle.jsonValue());
  assert.match(text, wanted, `${id} says "${text}"`);
  return text;
}

/** Asks again and again until there is an answer. */
export async function until<T>(page: Page, what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + LIMIT_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    assert.ok(performance.now() < end, `waited in vain for ${what}`);
    await page.waitForTimeout(20);
  }
}

/** Points on the pad, from 0 to 1. */
export type Stroke = readonly (readonly [number, number])[];

export async function draw(on: Page, strokes: readonly Stroke[], pad = "#pad"): Promise<void> {
  await on.locator(pad).scrollIntoViewIfNeeded();
  const box = await on.locator(pad).boundingBox();
  if (!box) throw new Error("the pad is not shown");
  const at = ([x, y]: readonly [number, number]) => [box.x + x * box.width, box.y + y * box.height] as const;
  for (const [first, ...others] of strokes) {
    await on.mouse.move(...at(first));
    await on.mouse.down();
    for (const point of others) await on.mouse.move(...at(point), { steps: 6 });
    await on.mouse.up();
  }
}

export const SEVEN: readonly Stroke[] = [
  [
    [0.3, 0.25],
    [0.7, 0.25],
    [0.45, 0.8],
  ],
];

/** Drops a file on a view, as from a folder. */
export async function drop(page: Page, view: string, name: string, type: string, bytes: Buffer): Promise<void> {
  const dataTransfer = await page.evaluateHandle(
    ([name, type, base64]) => {
      const transfer = new DataTransfer();
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type }));
      return transfer;
    },
    [name, type, bytes.toString("base64")] as const,
  );
  await page.dispatchEvent(`#panel-${view}`, "drop", { dataTransfer });
}

/** Ends the GPU's process, and with it every device of the browser. */
export async function killGpu(page: Page): Promise<void> {
  await (await page.context().browser()?.newBrowserCDPSession())?.send("Browser.crashGpuProcess");
}

/** What a canvas shows. */
export const pixelsOf = (canvas: Locator): Promise<string> =>
  canvas.evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());

/** How many colours an element shows. */
export const colours = (element: Locator): Promise<number> =>
  element.evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const data = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(data && new Uint32Array(data.buffer)).size;
  });

/** Two frames: what has changed is drawn in the next one. */
export const settle = (page: Page): Promise<unknown> =>
  page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));

export const inspected = { pages: 0, passes: 0, violations: [] as string[] };

/** Lets axe look at a view as it is now, in light and dark; a deep run takes screenshots, also at the width of a phone. */
export async function inspect(page: Page, view: string): Promise<void> {
  await page.evaluate(AXE);
  const shoot = async (kind: string) => {
    if (isDeep) await page.screenshot({ path: `${SHOTS}/${view}-${kind}.png`, fullPage: true });
  };
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme });
    // biome-ignore lint/suspicious/noExplicitAny: axe is a script of the page
    const result = await page.evaluate(() => (globalThis as any).axe.run(document, { resultTypes: ["violations"] }));
    inspected.pages++;
    inspected.passes += result.passes.length;
    for (const { id, impact, nodes } of result.violations) {
      inspected.violations.push(`${impact}: ${id} in ${view}, ${colorScheme}: ${nodes[0].html}`);
    }
    await shoot(colorScheme);
  }
  const size = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 700 });
  await settle(page);
  const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await shoot("phone");
  if (size) await page.setViewportSize(size);
  await page.emulateMedia({ forcedColors: "active" });
  const tabs = await page
    .getByRole("tab")
    .evaluateAll((tabs) =>
      tabs.map((tab) => [tab.ariaSelected === "true", getComputedStyle(tab).borderBottomColor] as const),
    );
  await shoot("forced");
  await page.emulateMedia({ forcedColors: "none" });
  const selected = tabs.find(([isSelected]) => isSelected)?.[1];
  assert.ok(
    tabs.every(([isSelected, colour]) => isSelected || colour !== selected),
    "which tab is it?",
  );
  assert.ok(tooWide <= 0, `${view} is ${tooWide} pixels too wide for a phone`);
}

/** Runs something in the workers of a name. */
export async function inWorker(page: Page, name: string, work: () => void): Promise<void> {
  for (const worker of page.workers()) {
    if ((await worker.evaluate(() => self.name)) === name) await worker.evaluate(work);
  }
}

/** Ends the devices of the workers of a name, as a driver that crashes does. */
export const loseDevice = (page: Page, name: string): Promise<void> =>
  inWorker(page, name, () => {
    for (const device of (globalThis as unknown as { devices: GPUDevice[] }).devices) device.destroy();
  });

/** What Chromium traces of a thread: when it begins, how long it lasts, and how much of that it computes, in microseconds. */
interface Traced {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly dur: number;
  readonly tdur: number;
  readonly args: { readonly name?: string };
}

/**
 * Watches the threads of pages from here on; what is given tells of its tasks over 50 ms, by what they compute: on a
 * machine of few cores it waits for those of the GPU meanwhile.
 */
export async function watchTasks(context: BrowserContext): Promise<() => Promise<string>> {
  const browser = await context.browser()?.newBrowserCDPSession();
  if (!browser) throw new Error("the pages have no browser");
  const events: Traced[] = [];
  browser.on("Tracing.dataCollected", ({ value }) => events.push(...(value as unknown as Traced[])));
  await browser.send("Tracing.start", { traceConfig: { includedCategories: ["toplevel"], excludedCategories: ["*"] } });
  return async () => {
    const end = new Promise((go) => browser.once("Tracing.tracingComplete", go));
    await browser.send("Tracing.end");
    await end;
    await browser.detach();
    const isMain = ({ name, args }: Traced) => name === "thread_name" && args.name === "CrRendererMain";
    const threads = events.filter(isMain).map(({ pid, tid }) => `${pid} ${tid}`);
    const tasks = events.filter(({ name, pid, tid }) => /RunTask$/.test(name) && threads.includes(`${pid} ${tid}`));
    assert.ok(tasks.length > 0, "tasks of a page are traced");
    const over = (key: "dur" | "tdur") => tasks.filter((task) => task[key] > 50_000).length;
    const longest = (key: "dur" | "tdur") => {
      const most = tasks.reduce((most, task) => Math.max(most, task[key] ?? 0), 0);
      return (most / 1000).toFixed(0);
    };
    return `${over("tdur")} of ${tasks.length} tasks compute for over 50 ms, the longest ${longest("tdur")}; ${over("dur")} last so long, ${longest("dur")}`;
  };
}
