import { FileError, show } from "../../engine/ground/errors.ts";
import { type Figures, FORMAT, type NetFigures, VERSION } from "../../engine/tuning/figures.ts";
import { milliseconds } from "./tables.ts";

// Files of figures that were sent, as `shadenet bench` and the page make them: read with care, and as one table.

type Check = readonly [wanted: string, holds: (value: unknown) => boolean];

const TEXT: Check = ["a string", (value) => typeof value === "string"];
const NAME: Check = ["a name", (value) => typeof value === "string" && /^[\w.]{1,60}$/.test(value)];
const BOOLEAN: Check = ["true or false", (value) => typeof value === "boolean"];
const COUNT: Check = ["a positive integer", (value) => Number.isSafeInteger(value) && (value as number) > 0];
const POSITIVE: Check = ["a positive number", (value) => Number.isFinite(value) && (value as number) > 0];
const SHARE: Check = ["a number from 0 to 1", (value) => Number.isFinite(value) && inUnit(value as number)];
const DATE: Check = ["a date of ISO 8601", (value) => typeof value === "string" && isDate(value)];
const DTYPE: Check = ["f32 or f16", (value) => value === "f32" || value === "f16"];
const LIST: Check = ["a list", Array.isArray];
const OBJECT: Check = ["an object", (value) => Object.prototype.toString.call(value) === "[object Object]"];

const inUnit = (value: number): boolean => value >= 0 && value <= 1;
const isDate = (text: string): boolean => /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text) && !Number.isNaN(Date.parse(text));
const optional = ([wanted, holds]: Check): Check => [wanted, (value) => value === undefined || holds(value)];

const FILE = {
  date: DATE,
  shadenet: TEXT,
  runtime: TEXT,
  os: TEXT,
  backend: TEXT,
  driver: TEXT,
  adapter: OBJECT,
  nets: LIST,
  failed: LIST,
} satisfies Partial<Record<keyof Figures, Check>>;

const ADAPTER = {
  vendor: TEXT,
  architecture: TEXT,
  device: TEXT,
  description: TEXT,
  software: BOOLEAN,
} satisfies Record<keyof Figures["adapter"], Check>;

const FAILURE = { net: NAME, batch: COUNT, dtype: DTYPE, reason: TEXT };

const NET = {
  net: NAME,
  batch: COUNT,
  dtype: DTYPE,
  medianMs: POSITIVE,
  fastestMs: POSITIVE,
  runs: COUNT,
  coldMs: optional(POSITIVE),
  agreement: SHARE,
} satisfies Record<keyof NetFigures, Check>;

/**
 * Reads a file of figures; undefined for a report of another bench. Throws a FileError that says what is wrong where it is
 * damaged, of another version, or lacks something.
 */
export function readFigures(text: string, name: string): Figures | undefined {
  const fail = (what: string): never => {
    throw new FileError(`${name} ${what}; wanted a file that shadenet bench --json or the page's "Save figures" wrote`);
  };
  const demand = (value: unknown, path: string, checks: Readonly<Record<string, Check>>) => {
    if (!OBJECT[1](value)) fail(`has ${show(value)} for ${path}, which must be ${OBJECT[0]}`);
    for (const [field, [wanted, holds]] of Object.entries(checks)) {
      const got = (value as Readonly<Record<string, unknown>>)[field];
      const at = path === "" ? field : `${path}.${field}`;
      if (!holds(got)) fail(`has ${got === undefined ? "nothing" : show(got)} for ${at}, which must be ${wanted}`);
    }
  };
  let file: Figures;
  try {
    file = JSON.parse(text);
  } catch {
    return fail("is damaged or no JSON");
  }
  if (isOtherReport(file)) return undefined;
  if (file?.format !== FORMAT) return fail("is no file of figures, nor a report of another bench");
  if (file.version !== VERSION) return fail(`has version ${show(file.version)} of the format, not ${VERSION}`);
  demand(file, "", FILE);
  demand(file.adapter, "adapter", ADAPTER);
  for (const [i, net] of file.nets.entries()) {
    demand(net, `nets[${i}]`, NET);
    if (net.fastestMs > net.medianMs) fail(`has a median below the fastest run in nets[${i}]`);
  }
  for (const [i, failure] of file.failed.entries()) demand(failure, `failed[${i}]`, FAILURE);
  return file;
}

/** Those of bench:kernels and bench:nets have a schema, those of bench:peers are lists of engines' rows. */
const isOtherReport = (file: unknown): boolean =>
  Array.isArray(file)
    ? file.every((row) => typeof row?.engine === "string")
    : typeof file === "object" && file !== null && "schema" in file && "kind" in file;

const HEADER = [
  "adapter",
  "driver, backend, system",
  "date",
  "net",
  "batch",
  "dtype",
  "median",
  "fastest",
  "runs",
].concat(["first result", "agreement"]);
/** Columns of numbers. */
const RIGHT = ["batch", "median", "fastest", "runs", "first result", "agreement"];

/**
 * A table in Markdown: the files by adapter, system and date, which stand in the first row of each, and the nets of each by
 * name, batch and dtype.
 */
export function figuresTable(files: readonly Figures[]): string[] {
  const rows = files
    .map((file) => ({ file, origin: [adapterName(file), systemOf(file), file.date.slice(0, 10)] }))
    .sort((a, b) => compare([...a.origin, a.file.date], [...b.origin, b.file.date]))
    .flatMap(({ file, origin }) => {
      const nets = [...file.nets].sort((a, b) => compare([a.net, a.batch, a.dtype], [b.net, b.batch, b.dtype]));
      return nets.map((net, i) => [...(i === 0 ? origin : origin.map(() => "")), ...cellsOf(net)].map(plain));
    });
  const widths = HEADER.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i].length)));
  const rule = HEADER.map((name, i) => (RIGHT.includes(name) ? "-:".padStart(widths[i], "-") : "-".repeat(widths[i])));
  const pad = (cell: string, i: number) =>
    RIGHT.includes(HEADER[i]) ? cell.padStart(widths[i]) : cell.padEnd(widths[i]);
  return [HEADER, rule, ...rows].map((row) => `| ${row.map(pad).join(" | ")} |`);
}

const systemOf = ({ driver, backend, runtime, os }: Figures): string =>
  [driver, backend, runtime, os].filter(Boolean).join(", ");

const cellsOf = ({ net, batch, dtype, medianMs, fastestMs, runs, coldMs, agreement }: NetFigures): string[] => [
  net,
  String(batch),
  dtype,
  milliseconds(medianMs).trim(),
  milliseconds(fastestMs).trim(),
  String(runs),
  coldMs === undefined ? "-" : milliseconds(coldMs).trim(),
  agreement === 0 ? "0" : agreement.toExponential(1),
];

/** By the first key that differs; not by the language of whoever draws the table. */
function compare(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  const i = a.findIndex((key, at) => key !== b[at]);
  return i < 0 ? 0 : a[i] < b[i] ? -1 : 1;
}

function adapterName({ adapter: { vendor, architecture, device, description, software } }: Figures): string {
  const name = [vendor, device || architecture].filter(Boolean).join(" ") || description || "unknown";
  return software ? `${name} (software)` : name;
}

/** What somebody sent, as a cell that is text and nothing else. */
const plain = (text: string): string =>
  text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .slice(0, 200)
    .replace(/[\\|`*<>[\]!]/g, (mark) => `\\${mark}`);
