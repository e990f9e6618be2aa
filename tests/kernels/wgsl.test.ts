import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as kernels from "../../kernels/index.ts";
import { variants } from "../../kernels/variants.ts";
import * as wgsl from "../../kernels/wgsl.ts";
import { someOf } from "../harness.ts";

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

/** Runs the generator in a copy of the kernels after a change, and looks at what it made of them. */
function generateAfter<T>(change: (copy: string) => void, look: (copy: string, stderr: string) => T): T {
  const copy = mkdtempSync(join(tmpdir(), "shadenet-wgsl-"));
  try {
    cpSync(folder, copy, { recursive: true });
    change(copy);
    const { stderr } = spawnSync(process.execPath, [join(copy, "generate_wgsl.mjs")], { encoding: "utf8" });
    return look(copy, stderr);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

const hashIn = (copy: string): string => readFileSync(join(copy, "wgsl_hash.ts"), "utf8");

test("what is embedded follows the sources: one that changed, came or went", () => {
  const before = generateAfter(() => {}, hashIn);
  const relu = (copy: string) => join(copy, "elementwise/relu.wgsl");
  const changed = (copy: string) => writeFileSync(relu(copy), `${readFileSync(relu(copy))}const MORE = 1;`);
  const added = (copy: string) => writeFileSync(join(copy, "norm/new.wgsl"), "// new\nconst A = 1;");
  const both = (copy: string) => {
    changed(copy);
    added(copy);
  };
  generateAfter(both, (copy) => {
    assert.match(readFileSync(`${relu(copy)}.ts`, "utf8"), /const MORE=1;/);
    assert.match(readFileSync(join(copy, "norm/new.wgsl.ts"), "utf8"), /export const wgsl = `\nconst A=1;`/);
    assert.match(readFileSync(join(copy, "wgsl.ts"), "utf8"), /export { wgsl as new } from "\.\/norm\/new\.wgsl\.ts"/);
    assert.is.not(hashIn(copy), before);
  });
  const removed = (copy: string) => rmSync(relu(copy));
  generateAfter(removed, (copy) => {
    assert.not(existsSync(`${relu(copy)}.ts`));
    assert.is.not(hashIn(copy), before);
  });
  // What is the same is not written again, so that nothing is compiled again.
  const time = (copy: string) => statSync(`${relu(copy)}.ts`).mtimeMs;
  let written = 0;
  generateAfter(
    (copy) => {
      written = time(copy);
    },
    (copy) => assert.is(time(copy), written),
  );
});

test("a source that cannot be embedded is refused", () => {
  for (const text of someOf(["`", "\\", "$" + "{x}"], 1)) {
    const odd = (copy: string) => writeFileSync(join(copy, "odd.wgsl"), text);
    generateAfter(odd, (_copy, stderr) =>
      assert.match(stderr, /odd.wgsl: backticks, backslashes and .* cannot be embedded/),
    );
  }
});

/** The functions of a source by their names, as one line each, with scalars and vectors written alike. */
const functionsOf = (name: string): Map<string, string> =>
  new Map(
    [...sources[name].matchAll(/^fn (\w+)\([\s\S]*?\n}/gm)].map(([text, own]) => [own, text.replace(/\s+/g, " ")]),
  );

/** A function of vectors as one of scalars, without what only one of them needs. */
const asScalar = (text: string): string =>
  text
    .replace(/vec4[fiu]\(([^()]*)\)/g, (_, value) => value || "0")
    .replace(/vec4([fiu])/g, "$132")
    .replaceAll("vec4", "")
    .replaceAll("&&", "&")
    .replace(/[() ]/g, "");

test("WGSL has no includes: functions of one name are the same wherever they stand", () => {
  // What these do depends on where they stand.
  const own = ["main", "load", "key", "sortable", "transform"];
  const texts = new Map<string, Map<string, string[]>>();
  for (const name of names) {
    for (const [own, text] of functionsOf(name)) {
      const versions = texts.get(own) ?? new Map<string, string[]>();
      const scalar = asScalar(text);
      versions.set(scalar, [...(versions.get(scalar) ?? []), name]);
      texts.set(own, versions);
    }
  }
  for (const [name, versions] of texts) {
    if (own.includes(name)) continue;
    assert.is(
      versions.size,
      1,
      `${name}() differs: ${[...versions.values()].map((where) => where.join(", ")).join(" | ")}`,
    );
  }
  assert.ok((texts.get("activate")?.values().next().value?.length ?? 0) > 10);
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
