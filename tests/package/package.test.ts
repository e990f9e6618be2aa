import { execFileSync, type StdioOptions, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { build } from "esbuild";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { inDepth, someOf } from "../harness.ts";
import { bundle, measure, PROGRAMS, ROOT } from "./bundle.ts";

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

const stdio: StdioOptions = ["ignore", "pipe", "ignore"];
const pack = ["pack", "--dry-run", "--json", "--ignore-scripts"];
const [{ files }] = JSON.parse(execFileSync("npm", pack, { cwd: ROOT, encoding: "utf8", stdio }));
/** What `npm publish` would send. */
const packed = (files as { path: string }[]).map(({ path }) => path);

const pathsIn = (entry: string | object): string[] =>
  typeof entry === "string" ? [entry] : Object.values(entry).flatMap(pathsIn);

test("the package holds what its users need", () => {
  const has = (path: string, from = "package.json") => assert.ok(packed.includes(path), `${from} wants ${path}`);
  for (const path of ["README.md", "nets/weights/lenet5.safetensors", "examples/digits/digit-0-a.png"]) has(path);
  for (const path of pathsIn(manifest.exports)) has(normalize(path));
  for (const path of Object.values<string>(manifest.bin)) has(normalize(path));
  for (const path of packed.filter((file) => /\.(js|d\.ts)$/.test(file))) {
    const imports = readFileSync(join(ROOT, path), "utf8").matchAll(/(?:from|import) ?\(?"(\.[^"]+)"/g);
    for (const [, wanted] of imports) has(join(dirname(path), wanted.replace(/\.ts$/, ".d.ts")), path);
  }
});

test("the package holds nothing else", () => {
  const legal = [
    /^(package\.json|README\.md|LICENSE)$/,
    /^dist\/(core|browser|index|onnx|worker|worker_script|(engine|kernels|nets|tools|cli)\/[\w/]+(\.wgsl)?)\.(js|d\.ts)$/,
    /^nets\/weights\/\w+\.(safetensors|json)$/,
    /^examples\/digits\/[\w-]+\.png$/,
  ];
  const isOdd = (path: string) => !legal.some((pattern) => pattern.test(path)) || path.startsWith("dist/nets/weights");
  assert.equal(packed.filter(isOdd), []);
});

for (const entry of ["browser", "onnx"]) {
  test(`the entry ${entry} is free of Node and of native packages`, async () => {
    const { code, modules } = await bundle(`export * from "./${entry}.js"`);
    assert.equal(
      modules.filter((path) => !/^(<stdin>|dist\/)/.test(path) || path.includes("engine/node")),
      [],
    );
    assert.not.match(code, /["'`]node:|\brequire\(/);
    assert.not.match(code, /["'`]webgpu["'`]/);
  });
}

// What most pages load, and some of the families: `npm run size` has them all.
for (const program of [...PROGRAMS.slice(0, 4), ...someOf(PROGRAMS.slice(4), 5)]) {
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

inDepth("the types hold without those of WebGPU and of Node, whatever is skipped", () => {
  const folder = mkdtempSync(join(tmpdir(), "shadenet-types-"));
  try {
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(ROOT, join(folder, "node_modules/shadenet"));
    const entries = Object.keys(manifest.exports).filter((entry) => !/\.(json|safetensors)$/.test(entry));
    const all = entries.map((entry, i) => `import * as all${i} from "shadenet${entry.slice(1)}"; all${i};`);
    const used = `import { openGpu } from "shadenet/core";
      const gpu = await openGpu({ powerPreference: "low-power" });
      const { label }: { label: string } = (await (await gpu.loadNet("lenet5")).classify(new ImageData(1, 1)))[0];
      // @ts-expect-error
      await openGpu({ powerPreference: label });`;
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "program.ts"), `${all.join("\n")}\n${used}`);
    for (const given of [
      ["--module", "nodenext"],
      ["--module", "esnext", "--moduleResolution", "bundler", "--customConditions", "browser"],
      // As in a worker and on a server, where there is no document.
      ["--module", "nodenext", "--lib", "es2022,webworker"],
    ]) {
      const strict = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022", "--types", ""];
      const compiler = join(ROOT, "node_modules/typescript/lib/tsc.js");
      const run = spawnSync(process.execPath, [compiler, "program.ts", ...given, ...strict], { cwd: folder });
      assert.is(run.status, 0, `${run.stdout}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("no type is one that TypeScript before 5.7 cannot read", () => {
  // There typed arrays have no parameters.
  const generic = /\b((Int|Uint|Float|Big)\w*Array|DataView|Buffer)</;
  const bare = (path: string) => readFileSync(join(ROOT, path), "utf8").replace(/\/\*[\s\S]*?\*\//g, "");
  const declarations = packed.filter((path) => path.endsWith(".d.ts"));
  assert.ok(declarations.length > 100);
  assert.equal(
    declarations.filter((path) => generic.test(bare(path))),
    [],
  );
});

test("a bundle for a server says what it cannot find", async () => {
  const folder = mkdtempSync(join(tmpdir(), "shadenet-server-"));
  try {
    const outfile = join(folder, "program.mjs");
    const photo = join(ROOT, "tests/goldens/images/420.jpg");
    const contents = `import { openGpu, readImage } from "./index.js";
      const told = ({ code, message }) => code + ": " + message;
      console.log(JSON.stringify([await readImage(${JSON.stringify(photo)}).catch(told), await openGpu().catch(told)]));`;
    await build({
      stdin: { contents, resolveDir: join(ROOT, "dist") },
      bundle: true,
      platform: "node",
      format: "esm",
      outfile,
      external: ["webgpu"],
      // esbuild's way to let packages of CommonJS find Node's modules.
      banner: { js: 'import * as own from "node:module"; const require = own.createRequire(import.meta.url);' },
    });
    // Dawn is looked for where there is a driver.
    const env = { ...process.env, SHADENET_ADAPTER: "system", VK_DRIVER_FILES: outfile };
    const [image, gpu] = JSON.parse(execFileSync(process.execPath, [outfile], { encoding: "utf8", env }));
    assert.match(image, /^FILE: the decoder @cwasm\/jpeg-turbo\/jpeg-turbo.wasm cannot be read; .* leave it out there/);
    assert.match(gpu, /^NO_ADAPTER: the package "webgpu" is not installed; .*: npm install webgpu/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("nothing in the core runs on import", async () => {
  assert.is(manifest.sideEffects, false);
  const { code } = await bundle(`import "./core.js"; import "./browser.js"; import "./worker.js";`);
  assert.is(code.trim(), "");
});

test.run();
