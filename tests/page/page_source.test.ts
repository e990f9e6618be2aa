// What the page does with WGSL before a compiler sees it.
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { tokenize } from "../../examples/page/wgsl_tokens.ts";
import { guardLoops } from "../../examples/page/worker/loop_guard.ts";
import * as embedded from "../../kernels/wgsl.ts";

const FOLDER = fileURLToPath(new URL("../../../kernels/", import.meta.url));
const files = readdirSync(FOLDER, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".wgsl"));
const sources = new Map(files.map((file) => [basename(file, ".wgsl"), readFileSync(`${FOLDER}${file}`, "utf8")]));
const lineCount = (text: string): number => text.split("\n").length;

test("tokens are the whole text again", () => {
  for (const [name, wgsl] of sources) {
    assert.is(
      tokenize(wgsl)
        .map(({ text }) => text)
        .join(""),
      wgsl,
      name,
    );
  }
});

test("tokens have their kinds", () => {
  const kinds = tokenize("@group(0) var x: vec4f = 1.5e-3f; // let\nconst LIMIT = letter;").filter(({ kind }) => kind);
  assert.equal(
    kinds.map(({ kind, text }) => `${kind} ${text}`),
    [
      "attribute @group",
      "number 0",
      "keyword var",
      "type vec4f",
      "number 1.5e-3f",
      "comment // let",
      "keyword const",
      "constant LIMIT",
    ],
  );
});

test("the page's sources have the lines of the embedded ones, in which the compiler counts", () => {
  for (const [name, wgsl] of Object.entries(embedded)) {
    const lines = (sources.get(name) as string).split("\n");
    for (const [i, line] of wgsl.split("\n").entries()) {
      const code = lines[i]?.replace(/\/\/.*/, "") ?? "";
      assert.is(line.replace(/\s/g, ""), code.replace(/\s/g, ""), `${name}, line ${i + 1}`);
    }
  }
});

test("loops are made to end, on the lines where they are", () => {
  const wgsl = "fn f() {\n  for (var i = g(0); i < h((2)); i++) {\n    while i > 3 { // for {\n loop { } } } }\n";
  const guarded = guardLoops(wgsl);
  assert.is(guarded.split("turns_left -= 1u").length - 1, 3);
  assert.is(lineCount(guarded), lineCount(wgsl) + 2);
  assert.match(guarded.split("\n")[1], /i\+\+\) \{ if \(turns_left == 0u\)/);
  assert.match(guarded.split("\n")[2], /while i > 3 \{ if .* \/\/ for \{$/);
});

test("what has no loop stays as it is, and what is typed halfway is no matter", () => {
  for (const wgsl of ["fn f() {}", "", "for", "for (", "for (;;) ", "while true", "// loop {"]) {
    assert.is(guardLoops(wgsl), wgsl);
  }
});

test.run();
