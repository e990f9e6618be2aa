import { execFileSync, type StdioOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bundle, measure, PROGRAMS, ROOT } from "./bundle.ts";

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

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
    /^dist\/(core|browser|index|worker|worker_script|(engine|kernels|nets|tools|cli)\/[\w/]+(\.wgsl)?)\.(js|d\.ts)$/,
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
});

for (const program of PROGRAMS) {
  const { name, limitBytes } = program;
  test(`${name} is no larger in a page than it may be`, async () => {
    const { code, gzipBytes } = await measure(program);
    assert.ok(gzipBytes <= limitBytes, `it has ${gzipBytes} bytes, and may have ${limitBytes}`);
    assert.not.match(code, /wasm/i);
  });
}

test("a bundle has no kernel that its net does not use", async () => {
  const { code } = await bundle(PROGRAMS[0].program);
  assert.not(code.includes("adaptive_avgpool2d"));
});

test("nothing in the core runs on import", async () => {
  assert.is(manifest.sideEffects, false);
  const { code } = await bundle(`import "./core.js"; import "./browser.js"; import "./worker.js";`);
  assert.is(code.trim(), "");
});

test.run();
