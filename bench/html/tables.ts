import type { PeerRow } from "../peers/results.ts";
import type { KernelRow, NetRow } from "../report/report.ts";
import { billions, count, digits, megabytes, percent, time, times } from "./format.ts";
import { html, type Markup } from "./markup.ts";
import { distinct, engineName, slowdown, timingOf } from "./reports.ts";

// Reports as tables: the text alternative of the charts, which scripts only make sortable.

interface Column<Row> {
  readonly title: string;
  /** What the column is sorted by; numbers are flush right. */
  readonly value: (row: Row) => number | string | undefined;
  /** What is shown, if not the value itself. */
  readonly text?: (row: Row) => string | Markup;
}

/** `attributes` are those of a row. */
function table<Row>(
  caption: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  attributes: (row: Row) => Markup = () => html``,
): Markup {
  const numeric = columns.map(({ value }) => rows.some((row) => typeof value(row) === "number"));
  const classOf = (i: number) => (numeric[i] ? html` class="number"` : undefined);
  const header = columns.map(
    ({ title }, i) => html`<th scope="col"${classOf(i)}><button type="button">${title}</button></th>`,
  );
  const cell = (row: Row, { value, text }: Column<Row>, i: number) => {
    const sorted = value(row);
    const shown = text?.(row) ?? (typeof sorted === "number" ? number(sorted) : (sorted ?? "–"));
    return html`<td${classOf(i)} data-value="${sorted}">${shown}</td>`;
  };
  const body = rows.map(
    (row) => html`<tr${attributes(row)}>${columns.map((column, i) => cell(row, column, i))}</tr>\n`,
  );
  return html`<div class="table" role="region" aria-label="${caption}" tabindex="0">
<table>
<caption>${caption}. A heading sorts by its column.</caption>
<thead><tr>${header}</tr></thead>
<tbody>
${body}</tbody>
</table>
</div>`;
}

const number = (value: number): string => (Number.isInteger(value) ? count(value) : digits(value));

/** What failed stands out; what was left out steps back. */
const status = ({ status, reason = status }: Pick<KernelRow, "status" | "reason">): Markup =>
  html`<span class="${status}">${reason}</span>`;

const range = (timing: { readonly low: number; readonly high: number } | undefined): string =>
  timing ? `${time(timing.low)} to ${time(timing.high)}` : "–";

export const kernelTable = (rows: readonly KernelRow[]): Markup =>
  table<KernelRow>(
    "Every layer by every variant",
    [
      { title: "Layer", value: ({ layer }) => layer },
      {
        title: "Variant",
        value: ({ variant }) => variant,
        text: ({ variant, chosen }) => (chosen ? html`<strong>${variant} ✓</strong>` : variant),
      },
      { title: "Median", value: (row) => timingOf(row)?.median, text: (row) => time(timingOf(row)?.median) },
      { title: "95 % interval", value: (row) => timingOf(row)?.low, text: (row) => range(timingOf(row)) },
      { title: "GFLOP/s", value: ({ flopsRate }) => flopsRate, text: ({ flopsRate }) => billions(flopsRate) },
      { title: "GB/s", value: ({ bytesRate }) => bytesRate, text: ({ bytesRate }) => billions(bytesRate) },
      { title: "Of the roofline", value: (row) => row.rooflineShare, text: (row) => percent(row.rooflineShare) },
      { title: "Error / allowed", value: ({ error }) => error },
      { title: "Nets", value: (row) => row.nets.map(({ net }) => net).join(", ") },
      { title: "Status", value: (row) => row.status, text: status },
    ],
    rows,
    ({ nets }) => html` data-nets="${nets.map(({ net }) => net).join(" ")}"`,
  );

export const netTable = (rows: readonly NetRow[]): Markup =>
  table<NetRow>(
    "Every net at every batch size",
    [
      { title: "Net", value: ({ net }) => net },
      { title: "Batch", value: ({ batch }) => batch },
      { title: "Median", value: ({ wall }) => wall?.median, text: ({ wall }) => time(wall?.median) },
      { title: "95 % interval", value: ({ wall }) => wall?.low, text: ({ wall }) => range(wall) },
      { title: "Least", value: ({ wall }) => wall?.min, text: ({ wall }) => time(wall?.min) },
      { title: "On the GPU", value: ({ gpu }) => gpu?.median, text: ({ gpu }) => time(gpu?.median) },
      { title: "Images/s", value: ({ imagesPerSecond }) => imagesPerSecond },
      { title: "Cold", value: ({ cold }) => cold?.uncached, text: ({ cold }) => time(cold?.uncached) },
      { title: "Cold, driver's cache", value: ({ cold }) => cold?.cached, text: ({ cold }) => time(cold?.cached) },
      { title: "GFLOP/s", value: ({ flopsRate }) => flopsRate, text: ({ flopsRate }) => billions(flopsRate) },
      { title: "Of the roofline", value: (row) => row.rooflineShare, text: (row) => percent(row.rooflineShare) },
      { title: "Weights", value: ({ memory }) => memory.weights, text: ({ memory }) => megabytes(memory.weights) },
      {
        title: "Activations",
        value: ({ memory }) => memory.activations,
        text: ({ memory }) => megabytes(memory.activations),
      },
      { title: "Dispatches", value: ({ steps }) => steps },
      { title: "Error / rms", value: ({ error }) => error },
      { title: "Status", value: (row) => row.status, text: status },
    ],
    rows,
  );

export const peerTable = (rows: readonly PeerRow[]): Markup =>
  table<PeerRow>(
    "Every engine on every net",
    [
      { title: "Net", value: ({ net }) => net },
      { title: "Batch", value: ({ batch }) => batch },
      { title: "Engine", value: engineName },
      {
        title: "Median",
        value: ({ medianMs }) => medianMs ?? undefined,
        text: (row) => time(row.medianMs ?? undefined),
      },
      { title: "Times ours", value: (row) => slowdown(row, rows), text: (row) => times(slowdown(row, rows)) },
      { title: "Least", value: ({ minMs }) => minMs ?? undefined, text: ({ minMs }) => time(minMs ?? undefined) },
      { title: "Cold", value: ({ coldMs }) => coldMs ?? undefined, text: ({ coldMs }) => time(coldMs ?? undefined) },
      { title: "Runs", value: ({ runs }) => runs },
      {
        title: "Agrees with",
        value: ({ agreesWith, error }) => agreesWith ?? error,
        text: ({ agreesWith, error }) =>
          agreesWith ?? status({ status: error ? "wrong" : "skipped", reason: error ?? "none" }),
      },
      ...(distinct(rows.map(({ adapter }) => adapter)).length > 1
        ? [{ title: "Adapter", value: ({ adapter }: PeerRow) => adapter }]
        : []),
    ],
    rows,
  );
