import { FileError } from "../../engine/ground/errors.ts";
import { keyOf, type Report, type RowOf, SCHEMA, type Timing, timingOf } from "./report.ts";

type Row = RowOf<Report>;

/** One thing, as it was and as it is. */
export interface Change {
  readonly what: string;
  readonly before: Timing;
  readonly after: Timing;
  /** How many times faster it is, by the medians; below 1 it is slower. */
  readonly speedup: number;
  /** How far the speedup may be off, as a share of it. */
  readonly noise: number;
}

export interface Comparison {
  /** Where the intervals of the medians do not overlap, the largest change first. */
  readonly faster: readonly Change[];
  readonly slower: readonly Change[];
  /** Where they do. */
  readonly same: readonly Change[];
  readonly added: readonly string[];
  /** In the older report alone. */
  readonly gone: readonly string[];
  /** What was timed and no longer is, with the reason. */
  readonly failed: readonly string[];
  /** How many times as fast multiply-adds and copies are; far from 1, something else used the machine in one run. */
  readonly roofline: { readonly flops: number; readonly bytes: number };
}

/** What changed since an older report on the same kind of thing; of its rows only those that `wanted` takes count. */
export function compareReports<R extends Report>(
  older: R,
  newer: R,
  wanted: (row: RowOf<R>) => boolean = () => true,
): Comparison {
  const before = new Map(
    rowsOf(older)
      .filter(wanted)
      .map((row) => [keyOf(row), row]),
  );
  const after = new Map(rowsOf(newer).map((row) => [keyOf(row), row]));
  const pairs = [...after].flatMap(([what, newer]) => {
    const older = before.get(what);
    return older ? [{ what, older, newer }] : [];
  });
  const changes = pairs.flatMap((pair) => changeOf(pair) ?? []);
  const isFaster = ({ before, after }: Change) => after.high < before.low;
  const isSlower = ({ before, after }: Change) => after.low > before.high;
  return {
    faster: changes.filter(isFaster).sort((a, b) => b.speedup - a.speedup),
    slower: changes.filter(isSlower).sort((a, b) => a.speedup - b.speedup),
    same: changes.filter((each) => !isFaster(each) && !isSlower(each)),
    added: [...after.keys()].filter((what) => !before.has(what)),
    // What an interrupted run has not come to is not gone.
    gone: newer.complete ? [...before.keys()].filter((what) => !after.has(what)) : [],
    failed: pairs.flatMap(({ what, older, newer: { status, reason } }) =>
      timingOf(older) && status !== "ok" ? `${what}: ${status}, ${reason}` : [],
    ),
    roofline: {
      flops: newer.roofline.flops / older.roofline.flops,
      bytes: newer.roofline.bytes / older.roofline.bytes,
    },
  };
}

const rowsOf = <R extends Report>({ rows }: R): readonly RowOf<R>[] => rows;

/** By one clock for both; undefined where one of them was not timed. */
function changeOf({ what, older, newer }: { what: string; older: Row; newer: Row }): Change | undefined {
  const clock = older.gpu && newer.gpu ? timingOf : ({ wall }: Row) => wall;
  const [before, after] = [clock(older), clock(newer)];
  if (!before || !after) return undefined;
  // How far each may be off towards the other.
  const [above, below] = after.median < before.median ? [before, after] : [after, before];
  const noise = Math.hypot(1 - above.low / above.median, below.high / below.median - 1);
  return { what, before, after, speedup: before.median / after.median, noise };
}

/**
 * Reads a report on "kernels" or "nets" from the text of a file. Throws a FileError that says what is wrong when it is
 * damaged, is none, or is of another kind or version.
 */
export function readReport<R extends Report>(text: string, name: string, kind: R["kind"]): R {
  const fail = (what: string): never => {
    throw new FileError(`${name} ${what}; give a file that npm run bench:${kind} -- --json wrote`);
  };
  const report = parse(text) ?? fail("is damaged or no JSON");
  if (!isObject(report) || !("schema" in report && "kind" in report)) return fail("is no report of a bench");
  if (report.kind !== kind) return fail(`is a report on ${JSON.stringify(report.kind)}, not on "${kind}"`);
  if (report.schema !== SCHEMA)
    return fail(`has version ${JSON.stringify(report.schema)} of the format, not ${SCHEMA}`);
  const { adapter, roofline, rows } = report;
  const texts = kind === "kernels" ? ["layer", "operator", "variant", "status"] : ["net", "status"];
  const isRow = (row: unknown): boolean =>
    isObject(row) &&
    texts.every((field) => typeof row[field] === "string") &&
    typeof row.batch === "number" &&
    [row.wall, row.gpu].every((timing) => timing === undefined || isTiming(timing)) &&
    (kind === "nets" ||
      (Array.isArray(row.nets) && row.nets.every((use) => isObject(use) && typeof use.net === "string")));
  if (typeof report.date !== "string" || !isObject(adapter) || typeof adapter.name !== "string") {
    return fail("does not say when and on which adapter it was measured");
  }
  if (!isObject(roofline) || !isPositive(roofline.flops) || !isPositive(roofline.bytes)) return fail("has no roofline");
  if (!Array.isArray(rows)) return fail("has no rows");
  const odd = rows.findIndex((row) => !isRow(row));
  if (odd >= 0) return fail(`has a row ${odd + 1} that is incomplete`);
  return report as unknown as R;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isPositive = (value: unknown): boolean => Number.isFinite(value) && Number(value) > 0;

const isTiming = (value: unknown): boolean =>
  isObject(value) && ["median", "low", "high"].every((field) => isPositive(value[field]));

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
