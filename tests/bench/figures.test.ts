// Files of figures that were sent: what is in bench/results, and what anybody could send.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { figuresTable } from "../../bench/report/figures.ts";
import { figuresIn, tableCommand, withTable } from "../../bench/table.ts";
import { FileError } from "../../engine/ground/errors.ts";
import type { Figures } from "../../engine/tuning/figures.ts";
import { readFigures } from "../../engine/tuning/read_figures.ts";
import { packageFile } from "../../tools/package.ts";
import { assertFails, shadenet } from "../cli/harness.ts";
import { refuses } from "../harness.ts";
import { sampleFigures } from "./sample_figures.ts";

const folder = await mkdtemp(join(tmpdir(), "shadenet-figures-"));
test.after(() => rm(folder, { recursive: true }));

const net: Figures["nets"][number] = {
  net: "resnet18",
  batch: 1,
  dtype: "f32",
  medianMs: 12.34,
  fastestMs: 9.87,
  runs: 10,
  coldMs: 1234,
  agreement: 1.25e-6,
};

const file = sampleFigures([net], [{ net: "vgg16", batch: 1, dtype: "f32", reason: "the device has no 1 GB" }]);

test("BENCHMARKS.md has the table of the files in bench/results", async () => {
  const text = await readFile(packageFile("BENCHMARKS.md"), "utf8");
  const files = await figuresIn(packageFile("bench/results"));
  assert.ok(files.length > 0);
  assert.is(withTable(text, figuresTable(files), "BENCHMARKS.md"), text, "npm run bench:table -- --write");
});

test("what was written is read again; reports of other benches are left alone", () => {
  assert.equal(readFigures(JSON.stringify(file), "a.json"), file);
  for (const other of [[], [{ engine: "shadenet" }], { schema: 1, kind: "nets" }]) {
    assert.is(readFigures(JSON.stringify(other), "a.json"), undefined);
  }
});

test("a malformed file is refused, and the error says where", async () => {
  const { coldMs: _, ...warm } = net;
  assert.ok(readFigures(JSON.stringify({ ...file, nets: [warm], extra: 1 }), "a.json"));
  const { adapter } = file;
  const nets = (change: object) => ({ nets: [net, { ...net, ...change }] });
  const cases: readonly (readonly [unknown, RegExp])[] = [
    [5, /is no file of figures, nor a report of another bench/],
    [null, /is no file of figures/],
    ["shadenet figures", /is no file of figures/],
    [[1], /is no file of figures/],
    [{}, /is no file of figures/],
    [{ ...file, format: "figures" }, /is no file of figures/],
    [{ ...file, version: 2 }, /has version 2 of the format, not 1/],
    [{ ...file, version: undefined }, /has version undefined of the format/],
    [{ ...file, date: "yesterday" }, /has "yesterday" for date, which must be a date of ISO 8601/],
    [{ ...file, date: "2026-13-02T03:04:05.678Z" }, /for date/],
    [{ ...file, shadenet: 1 }, /has 1 for shadenet, which must be a string/],
    [{ ...file, runtime: undefined }, /has nothing for runtime, which must be a string/],
    [{ ...file, os: null }, /has null for os/],
    [{ ...file, backend: [] }, /has \[\] for backend/],
    [{ ...file, driver: {} }, /has {} for driver/],
    [{ ...file, adapter: "Card 7" }, /has "Card 7" for adapter, which must be an object/],
    [{ ...file, adapter: [] }, /has \[\] for adapter/],
    [
      { ...file, adapter: { ...adapter, software: "no" } },
      /has "no" for adapter.software, which must be true or false/,
    ],
    [{ ...file, adapter: { ...adapter, vendor: 7 } }, /has 7 for adapter.vendor/],
    [{ ...file, nets: {} }, /has {} for nets, which must be a list/],
    [{ ...file, nets: [null] }, /has null for nets\[0\], which must be an object/],
    [{ ...file, ...nets({ net: "a b" }) }, /has "a b" for nets\[1\].net, which must be a name/],
    [{ ...file, ...nets({ batch: 0 }) }, /has 0 for nets\[1\].batch, which must be a positive integer/],
    [{ ...file, ...nets({ batch: 1.5 }) }, /nets\[1\].batch/],
    [{ ...file, ...nets({ dtype: "f8" }) }, /has "f8" for nets\[1\].dtype, which must be f32 or f16/],
    [{ ...file, ...nets({ medianMs: -1 }) }, /has -1 for nets\[1\].medianMs, which must be a positive number/],
    [{ ...file, ...nets({ medianMs: null }) }, /has null for nets\[1\].medianMs/],
    [{ ...file, ...nets({ medianMs: 5 }) }, /has a median below the fastest run in nets\[1\]/],
    [{ ...file, ...nets({ fastestMs: "9" }) }, /has "9" for nets\[1\].fastestMs/],
    [{ ...file, ...nets({ runs: 1e300 }) }, /nets\[1\].runs/],
    [{ ...file, ...nets({ coldMs: 0 }) }, /has 0 for nets\[1\].coldMs/],
    [
      { ...file, ...nets({ agreement: undefined }) },
      /has nothing for nets\[1\].agreement, which must be a number from 0/,
    ],
    [{ ...file, ...nets({ agreement: 2 }) }, /has 2 for nets\[1\].agreement/],
    [{ ...file, failed: undefined }, /has nothing for failed, which must be a list/],
    [{ ...file, failed: [{ ...net }] }, /has nothing for failed\[0\].reason, which must be a string/],
  ];
  const wanted = /; wanted a file that shadenet bench --json or the page's "Save figures" wrote$/;
  for (const [value, message] of cases) {
    const read = async () => readFigures(JSON.stringify(value), "sent.json");
    await refuses(read, FileError, "FILE", message);
    await refuses(read, FileError, "FILE", wanted);
  }
  for (const text of ["", "{", JSON.stringify(file).slice(0, -9)]) {
    await refuses(async () => readFigures(text, "sent.json"), FileError, "FILE", /^sent.json is damaged or no JSON; /);
  }
});

/** The cells of a table's rows, without their padding and the two lines on top. */
const cells = (table: readonly string[]): string[][] =>
  table.slice(2).map((line) =>
    line
      .slice(2, -2)
      .split(" | ")
      .map((cell) => cell.trim()),
  );

test("the table is by adapter, system and date, in whatever order the files come", () => {
  const second = {
    ...file,
    date: "2026-01-03T00:00:00.000Z",
    nets: [net, { ...net, batch: 8 }, { ...net, net: "alexnet" }],
  };
  const other = { ...file, adapter: { ...file.adapter, device: "", vendor: "aaa", software: true }, driver: "" };
  const table = figuresTable([second, file, other]);
  assert.equal(table, figuresTable([other, file, second]));
  assert.is(new Set(table.map((line) => line.length)).size, 1, "the columns are of one width");
  assert.match(table[1], /^(\| -+:? )+\|$/);
  const on = "driver 1.2, vulkan, Node 20.1.2, linux x64";
  const times = ["f32", "12.3 ms", "9.87 ms", "10", "1.23 s", "1.3e-6"];
  assert.equal(cells(table), [
    ["aaa arch (software)", "vulkan, Node 20.1.2, linux x64", "2026-01-02", "resnet18", "1", ...times],
    ["maker Card 7", on, "2026-01-02", "resnet18", "1", ...times],
    ["maker Card 7", on, "2026-01-03", "alexnet", "1", ...times],
    ["", "", "", "resnet18", "1", ...times],
    ["", "", "", "resnet18", "8", ...times],
  ]);
  const { coldMs: _, ...warm } = net;
  const [row] = cells(figuresTable([{ ...file, nets: [{ ...warm, agreement: 0 }] }]));
  assert.equal(row.slice(-2), ["-", "0"]);
  assert.is(figuresTable([]).length, 2);
});

test("what somebody sent is text in the table, and nothing else", () => {
  const evil = "a | b\n\n# c <img src=x> [d](http://e) <!-- end of figures --> `f` \u202e";
  const sent = { ...file, runtime: evil, driver: evil, adapter: { ...file.adapter, device: evil.repeat(9) } };
  const lines = figuresTable([sent]);
  assert.is(lines.length, 3);
  const [, , line] = lines;
  assert.not.match(line, /(?<!\\)[<>`[\]!]|[\p{Cc}\u202e]/u);
  assert.is(line.match(/(?<!\\)\|/g)?.length, 12, "eleven cells");
  const begun = `# Figures\n${"<!-- figures: npm run bench:table -- --write -->"}\n<!-- end of figures -->\nmore\n`;
  const once = withTable(begun, lines, "a.md");
  assert.is(withTable(once, lines, "a.md"), once);
  assert.is(withTable(once, figuresTable([]), "a.md"), withTable(begun, figuresTable([]), "a.md"));
  assert.match(once, /<!-- end of figures -->\nmore\n$/);
});

test("npm run bench:table draws the table, or puts it between its markers", async () => {
  const program = tableCommand;
  await writeFile(join(folder, "one.json"), JSON.stringify(file));
  await writeFile(join(folder, "peers.json"), "[]");
  await writeFile(join(folder, "README.md"), "no JSON");
  const results = ["--results", folder];
  const table = `${figuresTable([file]).join("\n")}\n`;
  assert.equal(await shadenet(results, { program }), { code: 0, stdout: table, errors: [] });
  const page = join(folder, "page.md");
  await writeFile(page, "nothing");
  const write = [...results, "--write", page];
  assertFails(await shadenet(write, { program }), 1, /page\.md has no place for the table: wanted <!-- figures: /);
  assert.is(await readFile(page, "utf8"), "nothing");
  await writeFile(page, "a\n<!-- figures: npm run bench:table -- --write -->\nold\n<!-- end of figures -->\nb\n");
  assert.is((await shadenet(write, { program })).code, 0);
  const begin = "a\n<!-- figures: npm run bench:table -- --write -->\n\n";
  assert.is(await readFile(page, "utf8"), `${begin}${table}\n<!-- end of figures -->\nb\n`);
  await writeFile(join(folder, "bad.json"), JSON.stringify({ ...file, nets: 7 }));
  assertFails(await shadenet(results, { program }), 1, /bad\.json has 7 for nets, which must be a list; wanted a file/);
  assertFails(await shadenet(["--results", join(folder, "none")], { program }), 1, /cannot read .*none/);
});

test.run();
