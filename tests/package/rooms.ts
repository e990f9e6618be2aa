// Who may import whom, as one table, and whatever in a map of sources does not keep to it. Files need not exist: a test
// plants what is forbidden in a copy of the map.
import { posix } from "node:path";

/** Sources by their paths in the repository; of kernels' WGSL only the names count. */
export type Files = ReadonlyMap<string, string>;

/** Rooms that others of the engine are built of, lowest first. */
const BASE = ["engine/ground", "engine/graph", "engine/weights", "engine/device", "engine/image"] as const;

/** The engine but for its leaves: what stands on the base, one file each. */
const TRUNK = [
  ...BASE,
  "engine/definition",
  "engine/others",
  "engine/summary",
  "engine/model",
  "engine/eager",
  "engine/net",
  "engine/gpu",
] as const;

/** Rooms of the engine that none of its others needs. */
const LEAVES = [
  "engine/training",
  "engine/tuning",
  "engine/onnx",
  "engine/web",
  "engine/worker",
  "engine/node",
] as const;

/** What runs everywhere. */
const PORTABLE = [
  ...TRUNK,
  "engine/training",
  "engine/tuning",
  "engine/onnx",
  "engine/web",
  "engine/worker",
  "kernels",
  "nets",
  "entries",
] as const;

const NODE = [...PORTABLE, "engine/node", "index", "nets/weights"] as const;

type Room =
  | (typeof TRUNK)[number]
  | (typeof LEAVES)[number]
  | "kernels"
  | "nets"
  | "nets/weights"
  | "entries"
  | "index"
  | "tools"
  | "cli"
  | "bench"
  | "examples"
  | "examples/page"
  | "tests";

/** A room; only types of it; or only by import(), when it is needed. */
export type Permission = Room | `types of ${Room}` | `lazily ${Room}`;

/**
 * A room is a folder, or a file without its ".ts"; of two that have a file, the longer path counts. Every room may import
 * itself, and these.
 */
export const MAY_IMPORT: Readonly<Record<Room, readonly Permission[]>> = {
  "engine/ground": [],
  "engine/graph": ["engine/ground"],
  "engine/weights": ["engine/ground"],
  "engine/device": ["engine/ground", "engine/graph", "engine/weights"],
  "engine/image": ["engine/ground", "engine/graph", "engine/weights", "engine/device"],
  "engine/definition": [...BASE, "lazily engine/others"],
  "engine/others": [...BASE, "engine/definition"],
  "engine/summary": [...BASE, "engine/definition"],
  "engine/model": BASE,
  "engine/net": [...BASE, "engine/definition", "engine/model", "lazily engine/others"],
  "engine/eager": [...BASE, "engine/model"],
  "engine/gpu": [
    ...BASE,
    "engine/definition",
    "engine/net",
    "lazily engine/eager",
    "lazily engine/training",
    "types of engine/training",
    "lazily engine/onnx",
    "types of engine/onnx",
    "lazily engine/tuning",
  ],
  "engine/training": TRUNK,
  "engine/tuning": TRUNK,
  "engine/onnx": TRUNK,
  "engine/web": TRUNK,
  // It runs in a browser.
  "engine/worker": [...TRUNK, "engine/web"],
  // It encodes what onnx/ describes, and reads what is trained on.
  "engine/node": [...TRUNK, "engine/onnx", "engine/training"],
  kernels: ["engine/ground", "engine/graph"],
  nets: ["engine/ground", "engine/graph", "engine/image", "types of engine/weights", "engine/definition", "kernels"],
  // Programs, which make what is shipped.
  "nets/weights": NODE,
  entries: PORTABLE,
  index: [...PORTABLE, "engine/node"],
  tools: NODE,
  cli: [...NODE, "tools"],
  bench: [...NODE, "tools"],
  examples: [...NODE, "tools", "examples/page"],
  "examples/page": PORTABLE,
  tests: [...NODE, "tools", "cli", "bench", "examples", "examples/page"],
};

/** Rooms that are several files and no folder. */
const FILES: Readonly<Record<string, Room>> = {
  "core.ts": "entries",
  "onnx.ts": "entries",
  "browser.ts": "entries",
  "worker.ts": "entries",
  "worker_script.ts": "entries",
};

/** Imports that are allowed for now, as "from -> to". */
const EXCEPTIONS: readonly string[] = [];

/** Where operators have to be named: ONNX spells its own. */
const NAMES_OPERATORS = /^engine\/(onnx\/|node\/onnx)/;

export interface Import {
  readonly from: string;
  readonly to: string;
  readonly kind: "value" | "type" | "lazy";
}

const ROOMS = (Object.keys(MAY_IMPORT) as Room[]).sort((a, b) => b.length - a.length);

export const roomOf = (path: string): Room | undefined =>
  FILES[path] ?? ROOMS.find((room) => path === `${room}.ts` || path.startsWith(`${room}/`));

/** Strings, templates, comments and regular expressions, so that none is taken for another. */
const TOKENS =
  /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*|(?<=[(,=:[!&|?{};]\s*)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/g;

/** Sources with nothing quoted but their strings: most are looked at several times. */
const known = new Map<string, string>();

function bare(source: string): string {
  const code = known.get(source) ?? source.replace(TOKENS, (token) => (token.startsWith('"') ? token : " "));
  known.set(source, code);
  return code;
}

const STATIC = /^[ \t]*(?:import|export)\s+(type\s+(?!from\b))?(?:[\w$*\s{},]+?\s+from\s+)?"(\.[^"\n]+)"/gm;
const LAZY = /(\btypeof\s+)?\bimport\(\s*"(\.[^"\n]+)"\s*,?\s*\)/g;

/** What a file imports of the repository. `import { type A }` is one of values: it is still there when it runs. */
export function importsOf(from: string, source: string): Import[] {
  const code = bare(source);
  const at = (to: string) => posix.join(posix.dirname(from), to);
  return [
    ...[...code.matchAll(STATIC)].map(([, type, to]) => ({ from, to: at(to), kind: type ? "type" : "value" }) as const),
    ...[...code.matchAll(LAZY)].map(([, type, to]) => ({ from, to: at(to), kind: type ? "type" : "lazy" }) as const),
  ];
}

function mayImport({ from, to, kind }: Import): boolean {
  const [room, target] = [roomOf(from), roomOf(to)];
  if (!room || !target || room === target || EXCEPTIONS.includes(`${from} -> ${to}`)) return true;
  const allowed = MAY_IMPORT[room];
  return (
    allowed.includes(target) ||
    (kind === "type" && allowed.includes(`types of ${target}`)) ||
    (kind === "lazy" && allowed.includes(`lazily ${target}`))
  );
}

const HOW = { value: "imports", type: "imports types of", lazy: "imports by import()" } as const;

/** What does not keep to the rules, a line each. */
export function violations(files: Files): string[] {
  const sources = [...files].filter(([path]) => path.endsWith(".ts"));
  const imports = sources.flatMap(([path, source]) => importsOf(path, source)).filter(({ to }) => files.has(to));
  const atOnce = imports.filter(({ kind }) => kind !== "lazy");
  return [
    ...sources.filter(([path]) => !roomOf(path)).map(([path]) => `${path} is in no room`),
    ...imports
      .filter((each) => !mayImport(each))
      .map(({ from, to, kind }) => `${from} ${HOW[kind]} ${to}: ${roomOf(from)} may not import ${roomOf(to)}`),
    ...circles(atOnce.filter(({ kind }) => kind === "value")).map((path) => `circle of values: ${path.join(" -> ")}`),
    ...circles(atOnce, ({ from, to }) => roomOf(from) !== roomOf(to)).map(
      (path) => `circle of types between rooms: ${path.join(" -> ")}`,
    ),
    ...operatorNames(files),
  ];
}

/** For every import that is in a circle and counts, the shortest one through it; those of the same files only once. */
function circles(imports: readonly Import[], counts: (each: Import) => boolean = () => true): string[][] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const found = new Map<string, string[]>();
  for (const each of imports.filter(counts)) {
    const back = shortest(targets, each.to, each.from);
    if (!back) continue;
    const key = [...new Set(back)].sort().join();
    if (!found.has(key)) found.set(key, [each.from, ...back]);
  }
  return [...found.values()];
}

/** The shortest way along imports, both ends included. */
function shortest(targets: ReadonlyMap<string, readonly string[]>, from: string, to: string): string[] | undefined {
  const before = new Map<string, string | undefined>([[from, undefined]]);
  for (const path of before.keys()) {
    if (path === to) {
      const way: string[] = [];
      for (let at: string | undefined = path; at !== undefined; at = before.get(at)) way.unshift(at);
      return way;
    }
    for (const next of targets.get(path) ?? []) if (!before.has(next)) before.set(next, path);
  }
  return undefined;
}

/** Strings in the engine that are the name of a kernel, which it has to know nothing of. */
function operatorNames(files: Files): string[] {
  const kernels = [...files.keys()].filter((path) => path.startsWith("kernels/") && path.endsWith(".wgsl"));
  const names = new Set(kernels.map((path) => `"${posix.basename(path, ".wgsl")}"`));
  return [...files]
    .filter(([path]) => path.startsWith("engine/") && path.endsWith(".ts") && !NAMES_OPERATORS.test(path))
    .flatMap(([path, source]) =>
      [...new Set(source.match(TOKENS))]
        .filter((token) => names.has(token))
        .map((token) => `${path} names the operator ${token}`),
    );
}
