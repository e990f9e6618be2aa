import { FileError, show } from "../ground/errors.ts";
import { type Figures, FORMAT, type NetFigures, VERSION } from "./figures.ts";

// Files of figures that were sent, as `shadenet bench` and the page make them: read with care.

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

/** An adapter as people call it: by its vendor and model, as far as its driver tells them. */
export function adapterName({
  adapter: { vendor, architecture, device, description, software },
}: Pick<Figures, "adapter">): string {
  const name = [vendor, device || architecture].filter(Boolean).join(" ") || description || "unknown";
  return software ? `${name} (software)` : name;
}
