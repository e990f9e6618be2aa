import { make, makeSvg, nextTask } from "./dom.ts";
import { type Explanation, type Field, fieldsOf, STAGES, summing, type Tensors, type Unit } from "./lenet_stages.ts";
import { drawMaps, type Grid, type Layout, type Maps } from "./maps.ts";

/** A stage as it is shown, or the filters before it: the size of a map in CSS pixels, and how many are side by side. */
interface Column {
  readonly stage: string;
  readonly filters?: true;
  readonly title: string;
  /** Where all stages are side by side, and where they take several rows. */
  readonly wide: readonly [tile: number, columns: number];
  readonly narrow: readonly [tile: number, columns: number];
}

const COLUMNS: readonly Column[] = [
  { stage: "input", title: "Input", wide: [96, 1], narrow: [58, 1] },
  { stage: "conv1", filters: true, title: "Filters", wide: [30, 1], narrow: [15, 3] },
  { stage: "conv1", title: "Sum", wide: [56, 1], narrow: [28, 3] },
  { stage: "tanh1", title: "Tanh", wide: [56, 1], narrow: [28, 3] },
  { stage: "pool1", title: "Pool", wide: [42, 1], narrow: [28, 3] },
  { stage: "conv2", filters: true, title: "Filters", wide: [30, 1], narrow: [15, 3] },
  { stage: "conv2", title: "Sum", wide: [31, 2], narrow: [15, 4] },
  { stage: "tanh2", title: "Tanh", wide: [31, 2], narrow: [15, 4] },
  { stage: "pool2", title: "Pool", wide: [25, 2], narrow: [15, 4] },
  { stage: "conv3", filters: true, title: "Filters", wide: [20, 2], narrow: [10, 4] },
  { stage: "tanh3", title: "Sum, tanh", wide: [10, 4], narrow: [5, 12] },
  { stage: "tanh4", title: "Sum, tanh", wide: [10, 3], narrow: [5, 12] },
];

/** Width of the wide layout's maps and of the output, and the least between two stages. */
const [MAPS_WIDTH, OUTPUT_WIDTH, GAP] = [630, 140, 16];
const TALLEST = 356;

/** What is shown in full colour: about the largest of a normalized digit and of most sums; of a tanh; of most weights. */
export const rangeOf = (stage: string): number => (/^(tanh|pool)/.test(stage) ? 1 : 3);
export const WEIGHTS: Pick<Layout, "range" | "scale"> = { range: 0.7, scale: "weight" };

interface Drawn extends Column {
  readonly canvas: HTMLCanvasElement;
  grid?: Grid;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The name of a stage where it stands alone. */
export function titleOf(stage: string): string {
  const title = { input: "Input", linear2: "Output" }[stage];
  return title ?? `${COLUMNS.find((column) => column.stage === stage && !column.filters)?.title} (${stage})`;
}

/**
 * LeNet-5's stages from left to right, with what one of their values is connected to. `output` is the list of classes,
 * the last stage. `onPoint` hears of the value that is pointed at, and whether it is meant to stay; of nothing when the
 * pointer leaves.
 */
export class Flow {
  readonly #root: HTMLElement;
  readonly #output: HTMLElement;
  readonly #lines = makeSvg("svg", { class: "connections", "aria-hidden": "true" });
  readonly #columns: readonly Drawn[];
  readonly #onPoint: (unit: Unit | undefined, stays: boolean) => void;
  /** The value that the keys move from. */
  #unit: Unit | undefined;

  constructor(root: HTMLElement, output: HTMLElement, onPoint: (unit: Unit | undefined, stays: boolean) => void) {
    this.#root = root;
    this.#output = output;
    this.#onPoint = onPoint;
    this.#columns = COLUMNS.map((column) => ({ ...column, canvas: this.#add(column) }));
    for (const column of this.#columns) if (!column.filters) this.#listen(column);
    root.append(output.closest("figure") ?? output, this.#lines);
  }

  #add({ stage, filters, title }: Column): HTMLCanvasElement {
    const { maps, side } = STAGES[stage];
    const text = filters ? "5 × 5" : side > 1 ? `${maps > 1 ? `${maps} × ` : ""}${side}²` : `${maps} values`;
    const label = filters ? `Filters of ${stage}` : `${titleOf(stage)}: ${maps} of ${side} × ${side}. Arrow keys move.`;
    const canvas = make("canvas", { role: filters ? "img" : "application", "aria-label": label });
    if (!filters) canvas.tabIndex = 0;
    const caption = make("figcaption", {}, make("strong", {}, title), make("span", {}, text));
    this.#root.append(make("figure", { class: `stage ${filters ? "filters" : stage}`, title: stage }, caption, canvas));
    return canvas;
  }

  #listen(column: Drawn): void {
    const { canvas, stage } = column;
    const point = (event: PointerEvent | MouseEvent, stays: boolean) => {
      const unit = unitAt(column, event);
      if (unit) this.#onPoint(unit, stays);
    };
    canvas.addEventListener("pointermove", (event) => event.pointerType !== "touch" && point(event, false));
    canvas.addEventListener("pointerleave", () => this.#onPoint(undefined, false));
    canvas.addEventListener("click", (event) => point(event, true));
    canvas.addEventListener("focus", () => {
      const { side } = STAGES[stage];
      const middle = Math.floor(side / 2);
      if (canvas.matches(":focus-visible") && this.#unit?.stage !== stage)
        this.#onPoint({ stage, map: 0, y: middle, x: middle }, true);
    });
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!by || this.#unit?.stage !== stage) return;
      event.preventDefault();
      // At once: the next key may come before anything is drawn.
      this.#unit = moveBy(column, this.#unit, by[0], by[1]) ?? this.#unit;
      this.#onPoint(this.#unit, true);
    });
  }

  /**
   * Draws all stages, or empty ones of the same sizes so that nothing moves with the first answer; of the same tensors, for
   * another unit, only the filters.
   */
  draw(tensors: Tensors, unit: Unit, isSame = false): void {
    const draw = this.#begin(tensors, unit);
    for (const column of this.#columns) if (column.filters || !isSame) draw(column);
  }

  /** The same for the first time, when all canvases are made: one after the other, and between them whatever else there is. */
  async drawInTurn(tensors: Tensors, unit: Unit): Promise<void> {
    const draw = this.#begin(tensors, unit);
    for (const column of this.#columns) {
      draw(column);
      await nextTask();
    }
  }

  /** Finds how large the stages are, and gives what draws one. */
  #begin(tensors: Tensors, unit: Unit): (column: Drawn) => void {
    const isWide = this.#root.clientWidth >= 700;
    this.#root.classList.toggle("narrow", !isWide);
    const across = (this.#root.clientWidth - OUTPUT_WIDTH - GAP * COLUMNS.length) / MAPS_WIDTH;
    const scale = isWide ? Math.min(across, Math.max(1, (0.5 * innerHeight) / TALLEST), 2.5) : 1;
    return (column) => {
      const { canvas, stage, filters } = column;
      const [tile, columns] = isWide ? column.wide : column.narrow;
      const maps = filters ? filtersOf(tensors, stage, mapOf(unit, stage)) : mapsOf(tensors, stage);
      const colours = filters ? WEIGHTS : { range: rangeOf(stage) };
      column.grid = drawMaps(canvas, maps, { tile: tile * scale, columns, ...colours });
    };
  }

  /** Shows what a unit is made of: its receptive fields, its filters, and the lines from what it is a sum of. */
  light(unit: Unit, explanation: Explanation | undefined): void {
    this.#unit = unit;
    const { width, height } = this.#root.getBoundingClientRect();
    this.#lines.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const from = explanation?.from;
    const most = Math.max(...(explanation?.terms ?? []).map(({ sum }) => Math.abs(sum)));
    const target = this.#unitBox(unit);
    const lines = (explanation?.terms ?? []).flatMap(({ map, sum }) => {
      const field = fieldsOf(unit).find(({ stage }) => stage === from);
      const source = field && this.#boxes({ ...field, map })[0];
      if (!source || !target) return [];
      const strength = most > 0 ? Math.abs(sum) / most : 0;
      return [line(source, target, sum < 0 ? "low" : "high", 0.1 + 0.75 * strength)];
    });
    const fields = fieldsOf(unit).flatMap((field) => {
      const boxes = this.#boxes(field);
      const isNear = (field.stage === from && boxes.length <= 16) || field.stage === "input";
      return boxes.map((box) => frame(box, isNear ? "field" : "distant"));
    });
    const filters = this.#filterBoxes(unit).map((box) => frame(box, "field"));
    this.#lines.replaceChildren(...lines, ...fields, ...filters, ...(target ? [frame(target, "pointed")] : []));
  }

  #columnOf(stage: string): Drawn | undefined {
    return this.#columns.find((column) => column.stage === stage && !column.filters);
  }

  /** Relative to all of the stages. */
  #within(element: Element, { x, y, width, height }: Box): Box {
    const [root, box] = [this.#root.getBoundingClientRect(), element.getBoundingClientRect()];
    return { x: box.left - root.left + x, y: box.top - root.top + y, width, height };
  }

  /** Where a field is seen: once on each of its maps; nowhere where its stage is not shown. */
  #boxes({ stage, map, y, x, side }: Field): Box[] {
    const column = this.#columnOf(stage);
    if (!column?.grid) return [];
    const { grid, canvas } = column;
    const maps = map === undefined ? Array.from({ length: grid.count }, (_, i) => i) : [map];
    const cell = grid.width / STAGES[stage].side;
    return maps.map((map) => {
      const [left, top] = [(map % grid.columns) * grid.across, Math.floor(map / grid.columns) * grid.down];
      return this.#within(canvas, { x: left + x * cell, y: top + y * cell, width: side * cell, height: side * cell });
    });
  }

  #unitBox(unit: Unit): Box | undefined {
    if (unit.stage !== "linear2") return this.#boxes({ ...unit, side: 1 })[0];
    const row = this.#output.children[unit.map];
    if (!row) return undefined;
    const { width, height } = row.getBoundingClientRect();
    return this.#within(row, { x: 0, y: 0, width, height });
  }

  #filterBoxes({ stage, map }: Unit): Box[] {
    const column = this.#columns.find((column) => column.filters && column.stage === summing(stage));
    if (!column?.grid) return [];
    const { columns, across, down, width, height, count } = column.grid;
    const shown = column.stage === "conv1" ? [map] : Array.from({ length: count }, (_, i) => i);
    return shown.map((i) =>
      this.#within(column.canvas, { x: (i % columns) * across, y: Math.floor(i / columns) * down, width, height }),
    );
  }
}

/** The map of a stage whose filters are shown: that of the unit, if it is one of this stage's or of what follows from it. */
function mapOf(unit: Unit, stage: string): number {
  const field = fieldsOf(unit).find((field) => field.stage === stage);
  return unit.stage === stage ? unit.map : (field?.map ?? 0);
}

/** All filters of a first layer; elsewhere those of one of its maps. */
function filtersOf(tensors: Tensors, stage: string, map: number): Maps {
  const { step, maps } = STAGES[stage];
  if (step.kind !== "sum") throw new Error(`${stage} has no filters`);
  const sources = STAGES[step.from].maps;
  const [count, first] = sources === 1 ? [maps, 0] : [sources, map * sources];
  const area = step.kernel ** 2;
  const data = tensors.get(`${stage}.weight`)?.data.subarray(first * area, (first + count) * area);
  return { data: data ?? new Float32Array(count * area), count, height: step.kernel, width: step.kernel };
}

function mapsOf(tensors: Tensors, stage: string): Maps {
  const { maps, side } = STAGES[stage];
  const data = tensors.get(stage)?.data ?? new Float32Array(maps * side * side);
  return { data, count: maps, height: side, width: side };
}

function unitAt({ canvas, grid, stage }: Drawn, { clientX, clientY }: MouseEvent): Unit | undefined {
  if (!grid) return undefined;
  const { left, top } = canvas.getBoundingClientRect();
  const { side, maps } = STAGES[stage];
  const [column, x] = place(clientX - left, grid.across, grid.width, side);
  const [row, y] = place(clientY - top, grid.down, grid.height, side);
  const map = row * grid.columns + column;
  return column < grid.columns && map >= 0 && map < maps ? { stage, map, y, x } : undefined;
}

/** Which map something is on along one axis, and which pixel of it; what is between two maps counts to the first. */
function place(at: number, pitch: number, width: number, side: number): [map: number, pixel: number] {
  const map = Math.max(0, Math.floor(at / pitch));
  const pixel = Math.floor(((at - map * pitch) / width) * side);
  return [map, Math.min(side - 1, Math.max(0, pixel))];
}

/** From pixel to pixel, and from the edge of a map to the one beside it. */
function moveBy({ grid, stage }: Drawn, { map, y, x }: Unit, down: number, right: number): Unit | undefined {
  if (!grid) return undefined;
  const { side, maps } = STAGES[stage];
  const across = (map % grid.columns) * side + x + right;
  const below = Math.floor(map / grid.columns) * side + y + down;
  const next = Math.floor(below / side) * grid.columns + Math.floor(across / side);
  if (across < 0 || across >= grid.columns * side || below < 0 || next >= maps) return undefined;
  return { stage, map: next, y: below % side, x: across % side };
}

const frame = ({ x, y, width, height }: Box, kind: string): SVGElement =>
  makeSvg("rect", { class: kind, x: x - 1, y: y - 1, width: width + 2, height: height + 2 });

const line = (from: Box, to: Box, kind: string, opacity: number): SVGElement =>
  makeSvg("line", {
    class: kind,
    x1: from.x + from.width,
    y1: from.y + from.height / 2,
    x2: to.x,
    y2: to.y + to.height / 2,
    opacity: opacity.toFixed(2),
  });
