import { find, make } from "./dom.ts";
import { count, duration, percent } from "./format.ts";
import type { Layer, LayerTime, NetTiming } from "./worker/timing.ts";

/** What the table can be sorted by, from the least or from the most. */
export const COLUMNS = ["order", "warm", "cold", "rate", "share"] as const;
export type Column = (typeof COLUMNS)[number];

export interface Order {
  readonly column: Column;
  readonly descending: boolean;
}

const NAMES: Readonly<Record<Column, string>> = {
  order: "Layer",
  warm: "Later runs",
  cold: "First run",
  rate: "GFLOP/s",
  share: "Of the roofline",
};

/** A layer that may not be measured yet, or only in its first run. */
export type Row = Layer & Partial<LayerTime>;

const VALUES: Readonly<Record<Column, (row: Row, index: number) => number>> = {
  order: (_row, index) => index,
  warm: ({ milliseconds = 0 }) => milliseconds,
  cold: ({ cold = 0 }) => cold,
  rate: ({ flopsRate = 0 }) => flopsRate,
  share: ({ rooflineShare = 0 }) => rooflineShare,
};

/** A net's layers as a table that can be sorted by each of its columns. */
export class TimeTable {
  readonly #onSort: (order: Order) => void;
  readonly #onPoint: (index: number | undefined) => void;
  #order: Order = { column: "order", descending: false };
  #layers: readonly Row[] = [];
  #rows: HTMLElement[] = [];
  #headers: HTMLElement[] = [];
  /** Milliseconds of first runs, by the layer's place, as far as they were heard of. */
  #colds = new Map<number, number>();
  readonly #body = make("tbody");

  constructor(onSort: (order: Order) => void, onPoint: (index: number | undefined) => void) {
    this.#onSort = onSort;
    this.#onPoint = onPoint;
  }

  get order(): Order {
    return this.#order;
  }

  set order(order: Order) {
    this.#order = order;
    this.#arrange();
  }

  /** Shows the layers of a net, with a last row for all together once they are measured. */
  show(net: string, layers: readonly Row[], timing?: NetTiming): void {
    this.#layers = layers;
    this.#colds = new Map();
    const most = {
      milliseconds: Math.max(...layers.map(({ milliseconds = 0, cold = 0 }) => Math.max(milliseconds, cold))) || 1,
      rate: Math.max(...layers.map(({ flopsRate = 0 }) => flopsRate)) || 1,
    };
    this.#headers = COLUMNS.map((column) => this.#header(column));
    this.#rows = layers.map((layer, i) => {
      const row = make("tr", {}, make("th", { scope: "row" }, about(layer)), ...cells(layer, most));
      row.addEventListener("pointerenter", () => this.#onPoint(i));
      row.addEventListener("pointerleave", () => this.#onPoint(undefined));
      return row;
    });
    const table = make(
      "table",
      { class: timing ? "times" : "times unmeasured" },
      make("caption", { class: "spoken" }, `Layers of ${net}`),
      make("thead", {}, make("tr", {}, ...this.#headers)),
      this.#body,
    );
    if (timing) {
      const { total, cold } = timing;
      const all = { ...total, cold };
      const sums = cells(all, { milliseconds: Infinity, rate: Infinity });
      table.append(make("tfoot", {}, make("tr", {}, make("th", { scope: "row" }, "Total"), ...sums)));
    }
    this.#arrange();
    find("time-table").replaceChildren(table);
  }

  /** Adds to what is known of a layer's first run while the net is being measured. */
  hear(layer: string, cold: number): void {
    const index = this.#layers.findIndex((each) => each.layer === layer);
    if (index < 0) return;
    const before = Math.max(0, ...this.#colds.values());
    const milliseconds = (this.#colds.get(index) ?? 0) + cold;
    this.#colds.set(index, milliseconds);
    const most = Math.max(before, milliseconds);
    this.#rows[index].children[2].replaceWith(cell("cold", duration(milliseconds), "outline", milliseconds / most));
    if (most === before) return;
    for (const [i, each] of this.#colds) {
      const fill = this.#rows[i].querySelector<HTMLElement>(".cold .outline");
      if (fill) fill.style.width = `${(100 * each) / most}%`;
    }
  }

  /** Marks the row of a layer. */
  point(index: number | undefined): void {
    for (const [i, row] of this.#rows.entries()) row.classList.toggle("pointed", i === index);
  }

  /** Opens the row of a layer, and goes there. */
  open(index: number): void {
    const details = this.#rows[index].querySelector("details");
    if (!details) return;
    details.open = true;
    details.querySelector("summary")?.focus({ preventScroll: true });
    this.#rows[index].scrollIntoView({ block: "center" });
  }

  #header(column: Column): HTMLElement {
    const button = make("button", { type: "button", class: "sort" }, NAMES[column]);
    const swatch = { warm: "fill", cold: "outline", rate: undefined, share: undefined, order: undefined }[column];
    if (swatch) button.prepend(make("span", { class: `swatch ${swatch}`, "aria-hidden": "true" }), " ");
    button.addEventListener("click", () => {
      const { column: before, descending } = this.#order;
      // Of figures the largest are wanted, of layers the first.
      this.order = { column, descending: before === column ? !descending : column !== "order" };
      this.#onSort(this.#order);
    });
    return make("th", { scope: "col" }, button);
  }

  #arrange(): void {
    const { column, descending } = this.#order;
    for (const [i, header] of this.#headers.entries()) {
      if (COLUMNS[i] !== column) header.removeAttribute("aria-sort");
      else header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    }
    const values = this.#layers.map(VALUES[column]);
    const sorted = [...this.#rows.keys()].sort((a, b) => (descending ? values[b] - values[a] : values[a] - values[b]));
    this.#body.replaceChildren(...sorted.map((i) => this.#rows[i]));
  }
}

const NONE = "–";

function cells(
  { milliseconds, cold, flopsRate, rooflineShare }: Partial<LayerTime>,
  most: { readonly milliseconds: number; readonly rate: number },
): HTMLElement[] {
  const figure = (value: number | undefined, format: (value: number) => string) =>
    value === undefined ? NONE : format(value);
  return [
    cell("warm", figure(milliseconds, duration), "fill", (milliseconds ?? 0) / most.milliseconds),
    cell("cold", figure(cold, duration), "outline", (cold ?? 0) / most.milliseconds),
    cell(
      "rate",
      figure(flopsRate || undefined, (rate) => count(rate / 1e9)),
      "fill",
      (flopsRate ?? 0) / most.rate,
    ),
    cell("share", figure(rooflineShare, percent), "fill second", Math.min(1, rooflineShare ?? 0)),
  ];
}

function cell(column: Column, figure: string, kind: string, share: number): HTMLElement {
  const fill = make("span", { class: kind });
  fill.style.width = `${100 * share}%`;
  return make(
    "td",
    { class: column },
    make("span", { class: "track", "aria-hidden": "true" }, ...(share > 0 ? [fill] : [])),
    make("span", { class: "figure" }, figure),
  );
}

/** Which variant a layer runs as; opened, why, and by which kernels. */
function about({ layer, variant, why, kernels }: Row): HTMLElement {
  const list = kernels.map(({ name, grid, milliseconds }) => {
    const time = milliseconds === undefined ? "" : `, ${duration(milliseconds)}`;
    return make("li", {}, `${name}, ${grid.join(" × ")} workgroups${time}`);
  });
  return make(
    "details",
    {},
    make("summary", {}, layer, make("span", { class: "quiet" }, ` ${variant}`)),
    make("p", {}, why),
    make("ul", {}, ...list),
  );
}
