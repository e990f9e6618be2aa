// Starts a browser that has WebGPU, for tests and for benches.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium, type LaunchOptions } from "playwright-core";
import { untilAborted } from "../../engine/ground/promises.ts";
import { unpackEmbedded } from "../../engine/node/embedded.ts";

const COMMON = ["--no-sandbox", "--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-angle=vulkan"];

/** Flags for an adapter on the machine's processor, which every machine has, and for cameras that are none. */
export const SOFTWARE: string[] = [
  ...COMMON,
  "--use-webgpu-adapter=swiftshader",
  // Without this and ANGLE's headless Chromium's GPU process dies of what is drawn on a WebGPU canvas.
  "--use-vulkan=swiftshader",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
];

/** Flags for the machine's GPU, in a browser without a screen; Chromium falls back to its software adapter. */
export const HARDWARE: string[] = [...COMMON, "--disable-vulkan-surface"];

/** Where Debian, Ubuntu, Fedora and macOS have theirs. */
const INSTALLED = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

interface Candidate {
  readonly executablePath: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A browser that has an adapter, and how to start another of the same. */
export interface Launched {
  readonly browser: Browser;
  readonly options: LaunchOptions;
}

/**
 * The first browser that starts and has an adapter: the one that SHADENET_BROWSER names by its path, else Chromium of npm
 * `@sparticuz/chromium` (Linux on x64), else an installed one. If there is none, why not.
 */
export async function launch(): Promise<Browser | string> {
  const launched = await launchFirst({ args: SOFTWARE }, candidates());
  return typeof launched === "string" ? launched : launched.browser;
}

/**
 * The same with other options, an installed browser before the one of npm, which has no drivers for GPUs. When the signal
 * aborts, it throws its reason, and leaves no browser.
 */
export const launchInstalled = (options: LaunchOptions, signal?: AbortSignal): Promise<Launched | string> =>
  launchFirst(options, candidates().toReversed(), signal);

async function launchFirst(
  given: LaunchOptions,
  candidates: readonly (readonly [string, () => Promise<Candidate>])[],
  signal?: AbortSignal,
): Promise<Launched | string> {
  const problems: string[] = [];
  for (const [name, find] of candidates) {
    let browser: Browser | undefined;
    try {
      const { executablePath, env } = await find();
      const options: LaunchOptions = { ...given, executablePath, env: { ...process.env, ...env } as never };
      browser = await chromium.launch(options);
      signal?.throwIfAborted();
      if (await untilAborted(hasAdapter(browser), signal)) return { browser, options };
      problems.push(`${name} has no WebGPU adapter`);
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message.split("\n")[0]}`);
    }
    await browser?.close();
    signal?.throwIfAborted();
  }
  return problems.join("; ") || "there is no Chromium";
}

function candidates(): readonly (readonly [string, () => Promise<Candidate>])[] {
  const { SHADENET_BROWSER: chosen } = process.env;
  const at = (executablePath: string) => [executablePath, async () => ({ executablePath })] as const;
  if (chosen) return [at(chosen)];
  const isEmbedded = process.platform === "linux" && process.arch === "x64";
  const fromNpm = isEmbedded ? [["@sparticuz/chromium", embedded] as const] : [];
  return [...fromNpm, ...INSTALLED.filter((path) => existsSync(path)).map(at)];
}

/** Only pages of a secure origin have it: localhost is one, whether anybody listens or not. */
async function hasAdapter(browser: Browser): Promise<boolean> {
  const page = await browser.newPage();
  try {
    await page.route("**/*", (route) => route.fulfill({ contentType: "text/html", body: "" }));
    await page.goto("http://localhost/");
    return await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
  } finally {
    await page.close();
  }
}

/** Chromium from npm, with its libraries and its software adapter. */
async function embedded(): Promise<Candidate> {
  const folder = await unpackEmbedded("chromium", ["chromium.br", "swiftshader.tar.br", "al2023.tar.br"]);
  if (!folder) throw new Error("it is not installed");
  const libraries = [join(folder, "lib"), process.env.LD_LIBRARY_PATH].filter(Boolean).join(delimiter);
  return { executablePath: join(folder, "chromium"), env: { LD_LIBRARY_PATH: libraries } };
}
