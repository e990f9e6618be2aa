import { execFileSync, type StdioOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** Bundles a program that imports from dist/ for a browser: what it loads at once, without what it imports later. */
async function bundle(program: string): Promise<{ code: string; modules: string[] }> {
  const later: Plugin = {
    name: "later",
    setup({ onResolve }) {
      onResolve({ filter: /.*/ }, ({ kind, path }) =>
        kind === "dynamic-import" ? { path, external: true } : undefined,
      );
    },
  };
  const { outputFiles, metafile } = await build({
    stdin: { contents: program, resolveDir: join(ROOT, "dist") },
    absWorkingDir: ROOT,
    platform: "browser",
    format: "esm",
    target: "es2022",
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    logLevel: "silent",
    plugins: [later],
  });
  return { code: outputFiles[0].text, modules: Object.keys(metafile.inputs) };
}

const gzipped = (code: string): number => gzipSync(code, { level: 9 }).length;

/** Bytes, gzipped, that the engine may have with one net, and with all of them. */
const ONE_NET = 25_000;
const ALL_NETS = 40_000;

/** What `npm publish` would send. */
function packed(): string[] {
  const stdio: StdioOptions = ["ignore", "pipe", "ignore"];
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
  const [{ files }] = JSON.parse(execFileSync("npm", args, { cwd: ROOT, encoding: "utf8", stdio }));
  return (files as { path: string }[]).map(({ path }) => path);
}

const pathsIn = (entry: string | object): string[] =>
  typeof entry === "string" ? [entry] : Object.values(entry).flatMap(pathsIn);

test("the package holds what its users need", () => {
  const paths = packed();
  const has = (path: string, from = "package.json") => assert.ok(paths.includes(path), `${from} wants ${path}`);
  for (const path of ["README.md", "nets/weights/lenet5.safetensors", "examples/digits/digit-0-a.png"]) has(path);
  for (const path of pathsIn(manifest.exports)) has(normalize(path));
  for (const path of Object.values<string>(manifest.bin)) has(normalize(path));
  for (const path of paths.filter((file) => /\.(js|d\.ts)$/.test(file))) {
    const imports = readFileSync(join(ROOT, path), "utf8").matchAll(/(?:from|import) ?\(?"(\.[^"]+)"/g);
    for (const [, wanted] of imports) has(join(dirname(path), wanted.replace(/\.ts$/, ".d.ts")), path);
  }
});

test("the package holds nothing else", () => {
  const legal = [
    /^(package\.json|README\.md|LICENSE)$/,
    /^dist\/(core|browser|index|(engine|kernels|nets|cli)\/[\w/]+)\.(js|d\.ts)$/,
    /^nets\/weights\/\w+\.(safetensors|json)$/,
    /^examples\/digits\/[\w-]+\.png$/,
  ];
  const isOdd = (path: string) => !legal.some((pattern) => pattern.test(path)) || path.startsWith("dist/nets/weights");
  assert.equal(packed().filter(isOdd), []);
});

test("the browser's entry is free of Node and of native packages", async () => {
  const { code, modules } = await bundle(`export * from "./browser.js"`);
  assert.equal(
    modules.filter((path) => !/^(<stdin>|dist\/)/.test(path) || path.includes("engine/node")),
    [],
  );
  assert.not.match(code, /\bnode:|\brequire\(/);
  assert.not.match(code, /["'`]webgpu["'`]/);
  console.log(`the whole of the browser's entry, minified and gzipped: ${gzipped(code)} bytes`);
});

test("all nets are a bundle of a page's size", async () => {
  const { code } = await bundle(`import { openGpu, tune } from "./browser.js"; console.log(openGpu, tune);`);
  const size = gzipped(code);
  console.log(`the engine with all nets, minified and gzipped: ${size} bytes`);
  assert.ok(size < ALL_NETS, `it has ${size} bytes, and should have less than ${ALL_NETS}`);
});

test("one net is a small bundle", async () => {
  const { code } = await bundle(`import { lenet5, openGpu } from "./core.js"; console.log(lenet5, openGpu);`);
  const size = gzipped(code);
  console.log(`the core with lenet5, minified and gzipped: ${size} bytes`);
  assert.not(code.includes("adaptive_avgpool2d"), "a kernel that lenet5 does not use was not dropped");
  assert.ok(size < ONE_NET, `it has ${size} bytes, and should have less than ${ONE_NET}`);
});

test("nothing in the core runs on import", async () => {
  assert.is(manifest.sideEffects, false);
  const { code } = await bundle(`import "./core.js"; import "./browser.js";`);
  assert.is(code.trim(), "");
});

test.run();
