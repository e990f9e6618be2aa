import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as kernels from "../../kernels/index.ts";
import { variants } from "../../kernels/variants.ts";
import * as wgsl from "../../kernels/wgsl.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const folder = join(ROOT, "kernels");
const sources: Readonly<Record<string, string>> = { ...wgsl };
/** The .wgsl files by their names. */
const files = new Map(
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".wgsl"))
    .map((file) => [basename(file, ".wgsl"), file]),
);
const names = [...files.keys()].sort();
const read = (name: string): string => readFileSync(join(folder, files.get(name) as string), "utf8");

/** A source by lines, without comments, and without spaces, some of which the generator leaves out. */
const linesOf = (source: string): string[] =>
  source.split("\n").map((line) => line.replace(/\/\/.*/, "").replaceAll(" ", ""));

/** Exit status and messages of the generator in a folder. */
function generate(where: string, ...args: string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [join(where, "generate_wgsl.mjs"), ...args], {
    encoding: "utf8",
  });
  return { status, stderr };
}

/** Runs the check on a copy of the kernels after a change. */
function checkAfter(change: (copy: string) => void): { status: number | null; stderr: string } {
  const copy = mkdtempSync(join(tmpdir(), "shadenet-wgsl-"));
  try {
    cpSync(folder, copy, { recursive: true });
    generate(copy);
    change(copy);
    return generate(copy, "--check");
  } finally {
    rmSync(copy, { recursive: true });
  }
}

test("wgsl.ts and wgsl_hash.ts are up to date", () =>
  assert.equal(generate(folder, "--check"), { status: 0, stderr: "" }));

test("the check fails on a kernel that was changed, added or removed, and names the remedy", () => {
  const complaint = (file: string) => `kernels/${file} is stale: run npm run wgsl\n`;
  const stale = { status: 1, stderr: complaint("wgsl.ts") + complaint("wgsl_hash.ts") };
  const relu = (copy: string) => join(copy, "elementwise/relu.wgsl");
  assert.is(checkAfter(() => {}).status, 0);
  assert.equal(
    checkAfter((copy) => writeFileSync(relu(copy), `${readFileSync(relu(copy))}const MORE = 1;`)),
    stale,
  );
  assert.equal(
    checkAfter((copy) => writeFileSync(join(copy, "new.wgsl"), "// new")),
    stale,
  );
  assert.equal(
    checkAfter((copy) => rmSync(relu(copy))),
    stale,
  );
  assert.is(checkAfter((copy) => rmSync(relu(copy)) ?? generate(copy)).status, 0);
  assert.equal(
    checkAfter((copy) => writeFileSync(join(copy, "wgsl_hash.ts"), "")),
    { status: 1, stderr: complaint("wgsl_hash.ts") },
  );
});

test("a source that cannot be embedded is refused", () => {
  for (const text of ["`", "\\", "$" + "{x}"]) {
    const { status, stderr } = checkAfter((copy) => writeFileSync(join(copy, "odd.wgsl"), text));
    assert.is(status, 1);
    assert.match(stderr, /odd.wgsl: backticks, backslashes and .* cannot be embedded/);
  }
});

test("every source is embedded without comments and indentation, line by line", () => {
  assert.ok(names.length > 20);
  assert.equal(Object.keys(sources), names);
  for (const name of names) {
    assert.not.match(sources[name], /\/\/|^ /m);
    assert.equal(linesOf(sources[name]), linesOf(read(name)), name);
  }
});

test("every source has a kernel and a test of its name, or is a variant, which its kernel's test covers", () => {
  const taken = Object.values(variants).flatMap((list) => list.map(({ name }) => name));
  for (const name of names.filter((name) => !taken.includes(name))) {
    const file = files.get(name)?.replace(/\.wgsl$/, "");
    for (const wanted of [`kernels/${file}.ts`, `tests/kernels/${file}.test.ts`]) {
      assert.ok(existsSync(join(ROOT, wanted)), `there is no ${wanted}`);
    }
  }
});

test("every kernel is called as its source", () => {
  for (const kernel of Object.values(kernels)) {
    if ("wgsl" in kernel) assert.is(kernel.wgsl, sources[kernel.name], kernel.name);
  }
});

test("a source opens with what it computes, its layout and its threads", () => {
  for (const name of names) {
    const source = read(name);
    const header = /^(?:enable \w+;\n)*((?:\/\/.*\n)*)/.exec(source)?.[1] ?? "";
    assert.ok(header.startsWith(`// ${name}`), `${name}.wgsl does not start with its name`);
    for (const word of ["Layout:", "Threads:"])
      assert.ok(header.includes(word), `${name}.wgsl does not tell its ${word}`);
  }
});

test.run();
