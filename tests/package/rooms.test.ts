// Who imports whom in this repository, held against the table in rooms.ts.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Files, importsOf, MAY_IMPORT, type Permission, roomOf, violations } from "./rooms.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const FOLDERS = ["engine", "kernels", "nets", "tools", "cli", "bench", "examples", "tests"];

const below = (folder: string): string[] =>
  readdirSync(`${ROOT}${folder}`, { recursive: folder !== "", encoding: "utf8" })
    .map((file) => (folder ? `${folder}/${file}` : file))
    .filter((path) => /\.(ts|wgsl)$/.test(path) && !path.includes("node_modules/"));

const files: Files = new Map(
  ["", ...FOLDERS].flatMap(below).map((path) => [path, readFileSync(`${ROOT}${path}`, "utf8")]),
);
const found = violations(files);

/** What is told once these sources are added to those that there are. */
function toldOf(planted: Readonly<Record<string, string>>): string[] {
  const copy = new Map(files);
  for (const [path, source] of Object.entries(planted)) copy.set(path, `${copy.get(path) ?? ""}\n${source}\n`);
  return violations(copy).filter((line) => !found.includes(line));
}

type Room = keyof typeof MAY_IMPORT;
const rooms = Object.keys(MAY_IMPORT) as Room[];

/** A file of a room: its only one, or one that is not there. */
const fileIn = (room: Room, name: string): string => {
  if (room === "entries") return "core.ts";
  return room === "index" || /^engine\/(model|train|net|gpu)$/.test(room) ? `${room}.ts` : `${room}/${name}.ts`;
};

const pathTo = (from: string, to: string): string => `${"../".repeat(from.split("/").length - 1) || "./"}${to}`;

test("this repository keeps to the rules", () => {
  assert.is(found.length, 0, found.join("\n"));
});

test("all files are read, and what they import exists", () => {
  assert.ok(files.size > 200, `there are ${files.size}`);
  const imports = [...files].flatMap(([path, source]) => (path.endsWith(".ts") ? importsOf(path, source) : []));
  assert.ok(imports.length > 1000, `there are ${imports.length} imports`);
  assert.equal(
    imports.filter(({ to }) => to.endsWith(".ts") && !files.has(to)),
    [],
  );
});

const KINDS = [
  ["value", (to: string) => `import { x } from "${to}";`, "imports"],
  ["type", (to: string) => `import type { X } from "${to}";`, "imports types of"],
  ["lazy", (to: string) => `const x = await import("${to}");`, "imports by import()"],
] as const;

for (const [kind, say, how] of KINDS) {
  test(`what no room may import is told: ${kind}`, () => {
    const planted: Record<string, string> = {};
    const wanted: string[] = [];
    const allowed: string[] = [];
    for (const room of rooms) {
      const from = fileIn(room, "planted");
      planted[from] ??= "";
      for (const target of rooms) {
        if (target === room) continue;
        const to = fileIn(target, "target");
        planted[to] ??= "";
        planted[from] += `\n${say(pathTo(from, to))}`;
        const permissions: Permission[] = [target];
        if (kind === "type") permissions.push(`types of ${target}`);
        if (kind === "lazy") permissions.push(`lazily ${target}`);
        const isAllowed = permissions.some((permission) => MAY_IMPORT[room].includes(permission));
        (isAllowed ? allowed : wanted).push(`${from} ${how} ${to}: ${room} may not import ${target}`);
      }
    }
    const told = [...found, ...toldOf(planted)];
    assert.equal(
      wanted.filter((line) => !told.includes(line)),
      [],
      "these were not told",
    );
    assert.equal(
      allowed.filter((line) => told.includes(line)),
      [],
      "these are allowed",
    );
    assert.ok(wanted.length > 100 && allowed.length > 50);
  });
}

test("every way to write an import is read", () => {
  const ways: [string, string | undefined][] = [
    ['import x from "./a.ts";', "value"],
    ['import * as x from "./a.ts";', "value"],
    ['import {\n  x,\n  type Y,\n} from "./a.ts";', "value"],
    ['import { type Y } from "./a.ts";', "value"],
    ['import "./a.ts";', "value"],
    ['export { x } from "./a.ts";', "value"],
    ['export * from "./a.ts";', "value"],
    ['export * as x from "./a.ts";', "value"],
    ['import type { X } from "./a.ts";', "type"],
    ['import type X from "./a.ts";', "type"],
    ['import type * as x from "./a.ts";', "type"],
    ['export type { X } from "./a.ts";', "type"],
    ['export type * from "./a.ts";', "type"],
    ['const { x } = await import("./a.ts");', "lazy"],
    ['const x = import(\n  "./a.ts",\n);', "lazy"],
    ['type X = typeof import("./a.ts");', "type"],
    ['// import x from "./a.ts";', undefined],
    ['/* a */ /*\nimport x from "./a.ts";\n*/', undefined],
    ['const x = `\nimport x from "./a.ts";`;', undefined],
    ['import x from "a.ts";', undefined],
    ['const x = y.replace(/[`"]/, "");\nimport("./a.ts");', "lazy"],
  ];
  for (const [source, kind] of ways) {
    const wanted = kind ? [{ from: "engine/b.ts", to: "engine/a.ts", kind }] : [];
    assert.equal(importsOf("engine/b.ts", source), wanted, source);
  }
});

test("a file in no room is told", () => {
  assert.is(roomOf("engine/new.ts"), undefined);
  assert.equal(toldOf({ "engine/new.ts": "" }), ["engine/new.ts is in no room"]);
});

test("circles are told: of values everywhere, with types only between rooms", () => {
  const circle = (first: string, second: string, types: string) =>
    toldOf({
      [first]: `import { b } from "${pathTo(first, second)}";`,
      [second]: `import ${types}{ a } from "${pathTo(second, first)}";`,
    }).filter((line) => line.startsWith("circle"));
  const within = ["tools/a.ts", "tools/b.ts"] as const;
  const between = ["tools/a.ts", "bench/b.ts"] as const;
  const named = (line: string) => within.every((path) => line.includes(path));
  assert.equal(circle(...within, "").map(named), [true]);
  assert.match(circle(...within, "")[0], /^circle of values: /);
  assert.equal(circle(...within, "type "), []);
  assert.equal(circle(...between, "type "), ["circle of types between rooms: tools/a.ts -> bench/b.ts -> tools/a.ts"]);
  assert.is(circle(...between, "").length, 2);
  // What is imported when it is needed closes none.
  assert.equal(toldOf({ "tools/a.ts": 'import { b } from "./b.ts";', "tools/b.ts": 'await import("./a.ts");' }), []);
});

test("the name of a kernel in the engine is told, but in comments and in what names ONNX's", () => {
  for (const name of ["conv2d", "add", "relu", "batchnorm", "to_nhwc"]) {
    assert.equal(toldOf({ "engine/graph/a.ts": `const x = "${name}";` }), [
      `engine/graph/a.ts names the operator "${name}"`,
    ]);
  }
  assert.equal(
    toldOf({
      "engine/graph/a.ts": '// "conv2d" and\n/* "add" */ const x = ["a relu", `conv2d`];',
      "engine/onnx/a.ts": 'const x = "conv2d";',
      "engine/node/onnx_a.ts": 'const x = "conv2d";',
      "nets/a.ts": 'const x = "conv2d";',
    }),
    [],
  );
});

test.run();
