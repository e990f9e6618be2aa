import { find, make, makeSvg } from "./dom.ts";
import { count, sizes } from "./format.ts";
import { arrange, edgesOf, openedAtFirst, outputOf, type Part, treeOf } from "./layer_tree.ts";
import type { LayerNode } from "./worker/layer_graph.ts";

/** Parts that are seen at first. */
const FIRST = 26;

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/**
 * The layers of a net as a tree of modules that fold, each laid out by what reads what. By the pattern of the WAI-ARIA
 * practices: arrow keys go from one to the next, right opens a module, left closes it, Enter chooses.
 */
export class LayerGraphView {
  readonly #root = find("layer-graph");
  readonly #edges = makeSvg("svg", { class: "edges", "aria-hidden": "true" });
  readonly #onPoint: (part: Part | undefined) => void;
  readonly #onChoose: (part: Part) => void;
  #tree: Part | undefined;
  #open = new Set<string>();
  /** What is seen of each part: the element that is pointed at. */
  readonly #items = new Map<string, HTMLElement>();
  readonly #parts = new Map<string, Part>();
  #links: { readonly from: string; readonly to: string; readonly path: SVGElement }[] = [];
  #chosen: string | undefined;
  #focused = "";

  /** `onPoint` is told what is pointed at or has the focus, and of the end of it. */
  constructor(onPoint: (part: Part | undefined) => void, onChoose: (part: Part) => void) {
    this.#onPoint = onPoint;
    this.#onChoose = onChoose;
    const root = this.#root;
    root.addEventListener("keydown", (event) => this.#press(event));
    root.addEventListener("click", (event) => this.#click(event));
    root.addEventListener("pointerover", (event) => this.#point(this.#pathAt(event)));
    root.addEventListener("pointerleave", () => this.#point(undefined));
    root.addEventListener("focusin", (event) => this.#point(this.#pathAt(event)));
    root.addEventListener("focusout", () => this.#point(undefined));
    new ResizeObserver(() => this.#drawEdges()).observe(root);
  }

  /** Shows a net; the modules that are open stay so in the same net with other options. */
  show(layers: readonly LayerNode[]): void {
    const tree = treeOf(layers);
    const isSame = this.#tree?.layers.every(({ path }, i) => path === layers[i]?.path) ?? false;
    this.#tree = tree;
    if (!isSame) {
      this.#open = openedAtFirst(tree, FIRST);
      this.#chosen = undefined;
      this.#focused = "";
      this.#root.scrollTop = 0;
    }
    this.#draw();
  }

  /** Marks a layer as the one whose output is shown. */
  choose(path: string): void {
    this.#chosen = path;
    this.#mark();
  }

  /** The part that a layer is seen in: the innermost one. */
  find(id: number): Part | undefined {
    const seen = [...this.#items.keys()].map((path) => this.#parts.get(path) as Part);
    return seen.findLast(({ layers }) => layers.some((layer) => layer.id === id));
  }

  #draw(): void {
    const tree = this.#tree;
    if (!tree) return;
    this.#items.clear();
    this.#parts.clear();
    const remember = (part: Part) => {
      this.#parts.set(part.path, part);
      part.parts.forEach(remember);
    };
    remember(tree);
    this.#root.replaceChildren(this.#grid(tree, 1), this.#edges);
    if (!this.#items.has(this.#focused)) this.#focused = this.#items.keys().next().value ?? "";
    this.#mark();
    this.#drawEdges();
  }

  #grid(module: Part, level: number): HTMLElement {
    const cells = arrange(module);
    const columns = Math.max(...cells.map(({ last }) => last));
    const grid = make("div", { class: "part-grid" });
    grid.style.setProperty("--columns", String(columns));
    grid.append(
      ...module.parts.map((part, i) => {
        const item = this.#item(part, level);
        const { row, first, last } = cells[i];
        item.style.gridArea = `${row} / ${first} / auto / ${last + 1}`;
        return item;
      }),
    );
    return grid;
  }

  #item(part: Part, level: number): HTMLElement {
    const isModule = part.parts.length > 0;
    const isOpen = isModule && this.#open.has(part.path);
    const { operator, shape } = outputOf(part);
    // A layer that is called after its operator does not say so twice.
    const kind = isModule ? `${part.layers.length} layers` : part.label.startsWith(operator) ? "" : operator;
    const fold = make("span", { class: "fold", "aria-hidden": "true" }, isOpen ? "▾" : "▸");
    const head = make(
      "div",
      { class: "part-head", role: "treeitem", "aria-level": String(level), "data-path": part.path },
      make("span", { class: "part-name" }, ...(isModule ? [fold] : []), make("span", {}, ...breakable(part.label))),
      " ",
      make("span", { class: "quiet" }, kind),
      " ",
      make("span", { class: "quiet shape" }, sizes(shape)),
    );
    if (isModule) head.ariaExpanded = String(isOpen);
    this.#items.set(part.path, head);
    if (!isOpen) return make("div", { class: "part" }, head);
    return make("div", { class: "part open" }, head, this.#grid(part, level + 1));
  }

  #mark(): void {
    for (const [path, item] of this.#items) {
      item.ariaSelected = String(path === this.#chosen);
      item.tabIndex = path === this.#focused ? 0 : -1;
    }
  }

  #pathAt({ target }: Event): string | undefined {
    return (target as Element).closest<HTMLElement>(".part-head")?.dataset.path;
  }

  #point(path: string | undefined): void {
    for (const { from, to, path: line } of this.#links) {
      line.classList.toggle("pointed", path !== undefined && (from === path || to === path));
    }
    this.#onPoint(path === undefined ? undefined : this.#parts.get(path));
  }

  #click(event: Event): void {
    const path = this.#pathAt(event);
    const part = path === undefined ? undefined : this.#parts.get(path);
    if (!part) return;
    const isFold = (event.target as Element).closest(".fold") !== null;
    this.#focus(part.path);
    if (isFold) this.#toggle(part);
    else this.#onChoose(part);
  }

  #press(event: KeyboardEvent): void {
    const part = this.#parts.get(this.#focused);
    if (!part) return;
    const paths = [...this.#items.keys()];
    const at = paths.indexOf(this.#focused);
    const isOpen = this.#open.has(part.path);
    const around = paths.filter((path) => this.#open.has(path) && part.path.startsWith(`${path}.`));
    const act: Record<string, () => void> = {
      ArrowDown: () => this.#focus(paths[Math.min(paths.length - 1, at + 1)]),
      ArrowUp: () => this.#focus(paths[Math.max(0, at - 1)]),
      Home: () => this.#focus(paths[0]),
      End: () => this.#focus(paths[paths.length - 1]),
      ArrowRight: () =>
        part.parts.length > 0 && !isOpen ? this.#toggle(part) : this.#focus(paths[at + 1] ?? paths[at]),
      ArrowLeft: () => (isOpen ? this.#toggle(part) : this.#focus(around.at(-1) ?? part.path)),
      Enter: () => this.#onChoose(part),
      " ": () => this.#onChoose(part),
    };
    if (!Object.hasOwn(act, event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act[event.key]();
  }

  #focus(path: string): void {
    this.#focused = path;
    this.#mark();
    this.#items.get(path)?.focus();
  }

  #toggle({ path }: Part): void {
    if (!this.#open.delete(path)) this.#open.add(path);
    this.#draw();
    this.#focus(path);
  }

  /** From box to box; around what stands between. */
  #drawEdges(): void {
    const tree = this.#tree;
    const grid = this.#root.firstElementChild;
    if (!tree || !grid || this.#root.clientWidth === 0) return;
    const origin = grid.getBoundingClientRect();
    const boxes = new Map<string, Box>();
    for (const [path, item] of this.#items) {
      const { left, right, top, bottom } = item.getBoundingClientRect();
      boxes.set(path, {
        left: left - origin.left,
        right: right - origin.left,
        top: top - origin.top,
        bottom: bottom - origin.top,
      });
    }
    const edges = edgesOf(tree, this.#open);
    // An open module is the frame of what is seen, not in the way of it.
    const solid = [...boxes].filter(([path]) => !this.#open.has(path)).map(([, box]) => box);
    const sources = [...new Set(edges.map(([from]) => from))];
    this.#links = edges.flatMap(([from, to]) => {
      const [a, b] = [boxes.get(from), boxes.get(to)];
      if (!a || !b) return [];
      // What goes around goes on a track of its source.
      const track = 5 + 5 * (sources.indexOf(from) % 4);
      return [{ from, to, path: makeSvg("path", { d: route(a, b, solid, track) }) }];
    });
    this.#edges.setAttribute("width", String(origin.width));
    this.#edges.setAttribute("height", String(origin.height));
    this.#edges.replaceChildren(...this.#links.map(({ path }) => path));
  }
}

/** A name that may go on in another line behind a dot or an underscore. */
const breakable = (name: string): (Node | string)[] =>
  name.split(/(?<=[._])/).flatMap((piece, i) => (i > 0 ? [make("wbr"), piece] : [piece]));

/** The way from a box to one below: straight, or along the right side of what is in between, so far from it. */
function route(from: Box, to: Box, boxes: readonly Box[], track: number): string {
  const middle = ({ left, right }: Box) => (left + right) / 2;
  const within = (x: number, { left, right }: Box) => Math.min(right - 8, Math.max(left + 8, x));
  const narrow = from.right - from.left < to.right - to.left ? from : to;
  const start = within(middle(narrow), from);
  const end = within(middle(narrow), to);
  const between = boxes.filter(({ top, bottom }) => top >= from.bottom - 1 && bottom <= to.top + 1);
  if (between.every(({ left, right }) => right < Math.min(start, end) || left > Math.max(start, end))) {
    const half = (from.bottom + to.top) / 2;
    return `M${start} ${from.bottom}C${start} ${half} ${end} ${half} ${end} ${to.top}`;
  }
  const above = (from.top + from.bottom) / 2;
  const below = (to.top + to.bottom) / 2;
  const side =
    track + Math.max(from.right, to.right, ...between.filter(({ left }) => left < to.right).map(({ right }) => right));
  const turn = Math.min(10, (below - above) / 2);
  return (
    `M${from.right} ${above}H${side - turn}Q${side} ${above} ${side} ${above + turn}` +
    `V${below - turn}Q${side} ${below} ${side - turn} ${below}H${to.right}`
  );
}

/** What is told of a part that is pointed at. */
export function factsOf(part: Part): string {
  const { shape } = outputOf(part);
  const total = (key: "parameters" | "multiplyAdds") => part.layers.reduce((sum, layer) => sum + layer[key], 0);
  return `${sizes(shape)} out, ${count(total("parameters"))} parameters, ${count(total("multiplyAdds"))} multiply-adds`;
}
