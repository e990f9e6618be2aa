// npm run recipes [name...]: tries every recipe of examples/recipes, or those named, as a user would: with the package as
// npm packs it and the newest versions of everything else, in a browser. It needs npm's registry. The last line is
// "N passed, N failed".
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { launch } from "../../bench/browser/launch.ts";
import { serve } from "../../bench/browser/server.ts";
import { ROOT } from "./bundle.ts";

/** A text of one of the recipe's files, and what stands there in this try. */
interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A project with the recipe's files, its packages installed. */
interface Project {
  readonly folder: string;
  readonly browser: Browser;
}

interface Try {
  readonly name: string;
  readonly changes?: readonly Change[];
  /** Throws unless it works. */
  check(project: Project): Promise<void>;
}

const DIGIT = "digit-3-a.png";
const LABEL = "3";

const inPage = (file: string): readonly Change[] => [
  { file, from: 'openWorkerGpu } from "shadenet/worker"', to: 'openGpu as openWorkerGpu } from "shadenet"' },
];

/** The tries of a recipe that is one program, in a worker as it stands and in the page's thread. */
const bothWays = (name: string, file: string, check: Try["check"]): Try[] => [
  { name: `${name}, in a worker`, check },
  { name: `${name}, in the page`, changes: inPage(file), check },
];

const RECIPES: Readonly<Record<string, readonly Try[]>> = {
  vite: [
    ...bothWays("Vite's build", "app.js", builtTo("dist")),
    ...bothWays("Vite's server", "app.js", served("vite")),
  ],
  vite7: [
    ...bothWays("Vite 7's build", "app.js", builtTo("dist")),
    ...bothWays("Vite 7's server", "app.js", served("vite")),
  ],
  webpack: bothWays("webpack", "app.js", builtTo("public")),
  esbuild: bothWays("esbuild", "app.js", builtTo("public")),
  next: bothWays("Next with Turbopack", "app/digit.jsx", async (project) => {
    await npm(project.folder, "run", "build");
    await served("next", "start")(project);
  }),
  cdn: [{ name: "a CDN on another site, in a worker", check: fromCdn }],
  script: [{ name: "a plain script", check: builtTo("public") }],
  "blob-worker": [{ name: "a worker from a Blob", check: builtTo("public") }],
  "service-worker": [
    { name: "a classic service worker", check: builtTo("public") },
    {
      name: "a service worker of modules",
      changes: [
        { file: "package.json", from: "--format=iife", to: "--format=esm" },
        { file: "public/index.html", from: 'type: "classic"', to: 'type: "module"' },
      ],
      check: builtTo("public"),
    },
  ],
  typescript: ["5.2", "5.6", "5.9", "6", "7"].flatMap((version) => [
    { name: `TypeScript ${version}`, check: ({ folder }) => checkTypes(folder, version, SETTINGS) },
    {
      name: `TypeScript ${version}, on a server`,
      changes: inPage("app.ts"),
      check: ({ folder }) => checkTypes(folder, version, ON_A_SERVER),
    },
  ]),
};

/** Runs a program to its end, and throws with what it printed if it fails. */
async function run(folder: string, program: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], env: ENV });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${[program, ...args].join(" ")} ended with ${code}:\n${output}`);
  return output;
}

const ENV = { ...process.env, NEXT_TELEMETRY_DISABLED: "1", CI: "1" };

const npm = (folder: string, ...args: readonly string[]) => run(folder, "npm", ...args);

const install = (folder: string, ...packages: readonly string[]) =>
  npm(folder, "install", "--no-audit", "--no-fund", "--loglevel=error", ...packages);

/** Waits for what the page says. */
async function look(browser: Browser, address: string): Promise<void> {
  const page = await browser.newPage();
  try {
    const failed = new Promise<never>((_, reject) => page.on("pageerror", reject));
    const answered = said(page, address);
    const label = await Promise.race([answered, failed]);
    if (label !== LABEL) throw new Error(`the page says "${label}", wanted "${LABEL}"`);
  } finally {
    await page.close();
  }
}

async function said(page: Page, address: string): Promise<string | null> {
  await page.goto(address);
  const output = page.locator("output", { hasText: /./ });
  await output.waitFor({ timeout: 60_000 });
  return output.textContent();
}

function builtTo(site: string): Try["check"] {
  return async ({ folder, browser }) => {
    await npm(folder, "run", "build");
    await lookAt(browser, join(folder, site));
  };
}

async function lookAt(browser: Browser, folder: string): Promise<void> {
  const server = await serve(folder);
  try {
    await look(browser, `${server.origin}/index.html`);
  } finally {
    server.close();
  }
}

/** Looks at what a server of the project serves: not by npm start, whose server would outlive npm. */
function served(program: string, ...args: readonly string[]): Try["check"] {
  return async ({ folder, browser }) => {
    const port = await freePort();
    const path = join(folder, "node_modules/.bin", program);
    const server = spawn(path, [...args, "--port", String(port)], { cwd: folder, stdio: "ignore", env: ENV });
    const ended = once(server, "close");
    try {
      const address = `http://localhost:${port}/`;
      await until(server, () => fetch(address));
      await look(browser, address);
    } finally {
      server.kill();
      await ended;
    }
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Tries until it works, as long as the process lives. */
async function until(server: ChildProcess, attempt: () => Promise<unknown>): Promise<void> {
  for (let turn = 0; turn < 600; turn++) {
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    if (await attempt().catch(() => undefined)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the server does not answer");
}

/** The page on one site, the package on another, as it was installed. */
async function fromCdn({ folder, browser }: Project): Promise<void> {
  const cdn = await serve(join(folder, "node_modules/shadenet"), {}, { open: true });
  try {
    change(folder, {
      file: "public/index.html",
      from: "https://cdn.jsdelivr.net/npm/shadenet/",
      to: `${cdn.origin}/`,
    });
    await lookAt(browser, join(folder, "public"));
    if (!cdn.requests.includes("/dist/worker_script.js")) throw new Error("the worker is not from there");
  } finally {
    cdn.close();
  }
}

const BUNDLER = { module: "esnext", moduleResolution: "bundler" };
const NODE16 = { module: "node16", moduleResolution: "node16" };
const NODENEXT = { module: "nodenext", moduleResolution: "nodenext" };
const PAGE = { lib: ["es2022", "dom"], types: [] };
const WORKER = { lib: ["es2022", "webworker"], types: [] };

/** From TypeScript 6 on the DOM's types have WebGPU, which @webgpu/types contradicts. */
const WITH_WEBGPU_TYPES = { lib: ["es2022", "dom"], types: ["@webgpu/types"] };

const SETTINGS = [
  ...[BUNDLER, { ...BUNDLER, customConditions: ["browser"] }, NODE16, NODENEXT].map((how) => ({ ...PAGE, ...how })),
  ...[WORKER, WITH_WEBGPU_TYPES].flatMap((types) => [BUNDLER, NODENEXT].map((how) => ({ ...types, ...how }))),
];

/** Without workers of the web. */
const ON_A_SERVER = [BUNDLER, NODENEXT].map((how) => ({ lib: ["es2022"], types: ["node"], ...how }));

/** What must not compile anywhere, and every entry. */
const MORE = `
// @ts-expect-error
export const wrong: Promise<string> = classify(new Blob());
export const gpu = openGpu();
// @ts-expect-error
gpu.then((gpu) => gpu.loadNet("lenet5")).then((net) => net.classify("photo.jpg"));
export * as core from "shadenet/core";
export * as browser from "shadenet/browser";
export { serveGpu } from "shadenet";
import "shadenet/worker-script";
`;

async function checkTypes(folder: string, version: string, settings: readonly { types: string[] }[]): Promise<void> {
  await install(folder, `typescript@${version}`, "@types/node@20", "@webgpu/types@latest");
  writeFileSync(join(folder, "app.ts"), readFileSync(join(folder, "app.ts"), "utf8") + MORE);
  const config = JSON.parse(readFileSync(join(folder, "tsconfig.json"), "utf8"));
  for (const setting of settings) {
    if (setting.types === WITH_WEBGPU_TYPES.types && Number(version) >= 6) continue;
    const compilerOptions = { ...config.compilerOptions, ...setting };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ ...config, compilerOptions }));
    await run(folder, process.execPath, "node_modules/typescript/lib/tsc.js").catch((error) => {
      throw new Error(`with ${JSON.stringify(setting)}, ${error.message}`);
    });
  }
}

function change(folder: string, { file, from, to }: Change): void {
  const path = join(folder, file);
  const before = readFileSync(path, "utf8");
  if (!before.includes(from)) throw new Error(`${file} has no ${from}`);
  writeFileSync(path, before.replaceAll(from, to));
}

const names = process.argv.slice(2);
const unknown = names.find((name) => !Object.hasOwn(RECIPES, name));
if (unknown !== undefined) {
  console.error(`there is no recipe "${unknown}"; there are ${Object.keys(RECIPES).join(", ")}`);
  process.exit(2);
}

const browser = await launch();
if (typeof browser === "string") {
  console.error(`no browser with WebGPU can be started: ${browser}`);
  process.exit(2);
}
const sum = { passed: 0, failed: 0 };
const home = mkdtempSync(join(tmpdir(), "shadenet-recipes-"));
try {
  const packed = await npm(ROOT, "pack", "--ignore-scripts", "--json", "--pack-destination", home);
  const tarball = join(home, JSON.parse(packed)[0].filename);
  for (const [recipe, tries] of Object.entries(RECIPES)) {
    if (names.length > 0 && !names.includes(recipe)) continue;
    const folder = join(home, recipe);
    for (const { name, changes = [], check } of tries) {
      try {
        cpSync(join(ROOT, "examples/recipes", recipe), folder, { recursive: true });
        mkdirSync(join(folder, "public"), { recursive: true });
        cpSync(join(ROOT, "examples/digits", DIGIT), join(folder, "public/digit.png"));
        await install(folder, tarball);
        for (const each of changes) change(folder, each);
        await check({ folder, browser });
        sum.passed++;
        console.log(`ok   ${name}`);
      } catch (error) {
        sum.failed++;
        console.log(`FAIL ${name}: ${(error as Error).message}`);
      }
    }
    rmSync(folder, { recursive: true, force: true });
  }
} finally {
  await browser.close();
  rmSync(home, { recursive: true, force: true });
}
console.log(`${sum.passed} passed, ${sum.failed} failed`);
if (sum.failed > 0) process.exitCode = 1;
