// Starts a browser that has WebGPU on the machine's processor.
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { unpackEmbedded } from "../../engine/node/embedded.ts";

const FLAGS = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  // Without these two headless Chromium's GPU process dies of what is drawn on a WebGPU canvas.
  "--use-vulkan=swiftshader",
  "--use-angle=vulkan",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
];

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

/**
 * The first browser that starts and has an adapter: the one that SHADENET_BROWSER names by its path, else Chromium of npm
 * @sparticuz/chromium (Linux on x64), else an installed one. If there is none, why not.
 */
export async function launch(): Promise<Browser | string> {
  const problems: string[] = [];
  for (const [name, find] of candidates()) {
    try {
      const { executablePath, env } = await find();
      const browser = await chromium.launch({ executablePath, args: FLAGS, env: { ...process.env, ...env } as never });
      if (await hasAdapter(browser)) return browser;
      await browser.close();
      problems.push(`${name} has no WebGPU adapter`);
    } catch (error) {
      problems.push(`${name}: ${(error as Error).message.split("\n")[0]}`);
    }
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
