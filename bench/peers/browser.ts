import { join } from "node:path";
import { type Browser, chromium, type LaunchOptions, type Page } from "playwright-core";
import { untilAborted } from "../../engine/ground/promises.ts";
import { GpuError } from "../../index.ts";
import { oneLine } from "../../tools/format.ts";
import { packageFile } from "../../tools/package.ts";
import { HARDWARE, launchInstalled, SOFTWARE } from "../browser/launch.ts";
import { file, serve, text } from "../browser/server.ts";
import { filesIn, type Place } from "./compare.ts";
import type { Job } from "./engines.ts";
import type * as inPage from "./page.ts";
import type { ProcessOptions } from "./process.ts";

const MODULES = "/bench/peers/node_modules";

/** Where the packages' modules for pages are: none needs a bundler. */
const IMPORTS = {
  "@tensorflow/tfjs-core": `${MODULES}/@tensorflow/tfjs-core/dist/tf-core.fesm.min.js`,
  "@tensorflow/tfjs-backend-webgpu": `${MODULES}/@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.fesm.min.js`,
  "@jax-js/jax": `${MODULES}/@jax-js/jax/dist/index.js`,
  "onnxruntime-web/webgpu": `${MODULES}/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs`,
  "onnxruntime-web/wasm": `${MODULES}/onnxruntime-web/dist/ort.wasm.bundle.min.mjs`,
  "@litertjs/core": `${MODULES}/@litertjs/core/dist/index.js`,
  "@litertjs/wasm-utils": `${MODULES}/@litertjs/wasm-utils/dist/index.js`,
};

const PAGE = `<!doctype html><title>bench:peers</title>
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>
<script type="module">import * as inPage from "/dist/bench/peers/page.js"; window.inPage = inPage;</script>
<body></body>`;

/** Runs one of the functions of page.ts. Throws when it tells an error. */
async function call<K extends keyof typeof inPage>(page: Page, name: K, ...args: Parameters<(typeof inPage)[K]>) {
  type Answer = Awaited<ReturnType<(typeof inPage)[K]>>;
  const answer = (await page.evaluate(
    ([name, args]) =>
      (globalThis as unknown as { inPage: Record<string, (...args: unknown[]) => unknown> }).inPage[name](...args),
    [name, args] as const,
  )) as Answer;
  if ("error" in answer) throw new Error(oneLine(answer.error as string));
  return answer as Exclude<Answer, { readonly error: string }>;
}

async function openPage(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(url);
  return page;
}

type Limits = Pick<ProcessOptions, "timeout" | "signal">;

/** Waits for work, but no longer than is allowed. */
async function inTime<T>({ timeout, signal }: Limits, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const late = AbortSignal.timeout(1000 * timeout);
  const either = AbortSignal.any([signal, late]);
  either.throwIfAborted();
  try {
    return await untilAborted(work(either), either);
  } catch (error) {
    if (error === late.reason) throw new Error(`gave no answer within ${timeout} s`);
    throw error;
  }
}

/**
 * Browsers for contenders, each with one page, which finds the files of a folder at the address `base`. Throws a GpuError
 * where no browser has an adapter. SHADENET_BROWSER names another browser than the installed one; with
 * SHADENET_ADAPTER=embedded it takes its software adapter even where there is a GPU.
 */
export async function openBrowsers(folder: string, limits: Limits) {
  const given: LaunchOptions = {
    args: process.env.SHADENET_ADAPTER === "embedded" ? SOFTWARE : HARDWARE,
    timeout: 1000 * limits.timeout,
    // Who is interrupted has more to end than browsers.
    handleSIGHUP: false,
    handleSIGINT: false,
    handleSIGTERM: false,
  };
  const launched = await inTime(limits, (signal) => launchInstalled(given, signal));
  if (typeof launched === "string") {
    throw new GpuError("NO_ADAPTER", `no browser can be used: ${launched}; SHADENET_BROWSER=PATH names another one`);
  }
  const names = Object.values(filesIn((name) => name));
  const files = Object.fromEntries(names.map((name) => [`/${name}`, file(join(folder, name))]));
  const server = await serve(packageFile(""), { "/": text("text/html", PAGE), ...files }, { isolated: true });
  const { browser, options } = launched;
  try {
    const probed = await inTime(limits, async () => call(await openPage(browser, server.origin), "probe"));
    return {
      ...probed,
      browser: `Chromium ${browser.version()}`,
      base: server.origin,
      start: (job: Job) => startInPage(options, server.origin, job, limits),
      close: () => server.close(),
    };
  } catch (error) {
    server.close();
    throw error;
  } finally {
    await browser.close();
  }
}

/** A contender in the page of a new browser, whose GPU process has no shaders from before. */
export function startInPage(options: LaunchOptions, origin: string, job: Job, limits: Limits): Place {
  const launched = chromium.launch(options);
  const page = launched.then((browser) => openPage(browser, origin));
  // Its failure is the answer's.
  page.catch(() => {});
  return {
    answer: () => inTime(limits, async () => call(await page, "first", job)),
    ask: () => inTime(limits, async () => call(await page, "turn")),
    stop: async () => (await launched.catch(() => undefined))?.close(),
  };
}
