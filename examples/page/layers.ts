import type { Tensor } from "../../engine/ground/tensor.ts";
import { find, IN_MEMORY, nextTask, onColorScheme } from "./dom.ts";
import { factsOf, LayerGraphView } from "./layer_graph_view.ts";
import { outputOf, type Part } from "./layer_tree.ts";
import { drawMaps, drawMapsInTurn, type Maps, mapsOf, robustRange } from "./maps.ts";
import type { Status } from "./status.ts";
import type { NetDescription } from "./worker/looking.ts";

/** Maps that are shown at once; values of vectors. */
const PER_PAGE = 64;
const VALUES_PER_PAGE = 4096;
const MOST_FILTERS = 96;

/** What is shown of a net's layers comes from here. */
export interface LayerSource {
  /** A node's output for the picture; undefined where there is none. */
  activations(node: number): Promise<Tensor | undefined>;
  /** A parameter, the first `most` of its first dimension; undefined where no net is loaded. Its shape is that of the whole. */
  parameter(name: string, most: number): Promise<Tensor | undefined>;
}

/** The layers of a net to choose from, and the activations of the one that is chosen. */
export class LayerView {
  readonly #graph: LayerGraphView;
  readonly #canvas = find("maps", HTMLCanvasElement);
  readonly #filters = find("first-layer-filters", HTMLCanvasElement);
  readonly #text = find("layer-text");
  readonly #facts = find("layer-facts");
  readonly #status: Status;
  readonly #source: LayerSource;
  #net: NetDescription | undefined;
  #chosen: Part | undefined;
  #maps: Maps | undefined;
  #weights: Tensor | undefined;
  #range = 1;
  #first = 0;
  /** The last drawing that was begun: one before it is given up. */
  #drawing: symbol | undefined;

  constructor(status: Status, source: LayerSource) {
    this.#status = status;
    this.#source = source;
    this.#graph = new LayerGraphView(
      (part) => this.#tell(part),
      (part) => this.#choose(part),
    );
    find("previous-maps").addEventListener("click", () => this.#turn(-1));
    find("next-maps").addEventListener("click", () => this.#turn(1));
    onColorScheme(() => this.#draw());
    addEventListener("resize", () => this.#draw());
  }

  /** Shows the layers of a net; its first filters are what is looked at first. */
  list(net: NetDescription): void {
    this.#net = net;
    this.#graph.show(net.layers);
    this.#empty();
    const first = net.filters?.node ?? net.layers[1].id;
    const again = net.layers.find(({ path }) => path === this.#chosen?.path)?.id;
    this.#chosen = this.#graph.find(again ?? first);
    if (this.#chosen) this.#graph.choose(this.#chosen.path);
    this.#tell(undefined);
  }

  #choose(part: Part): void {
    this.#chosen = part;
    this.#graph.choose(part.path);
    this.#tell(undefined);
    this.#empty();
    this.update();
  }

  /** Says what is pointed at has; else what is chosen. */
  #tell(pointed: Part | undefined): void {
    const part = pointed ?? this.#chosen;
    this.#facts.textContent = part ? `${part.path || "the net"}: ${factsOf(part)}` : "";
  }

  /** Shows the chosen layer for the picture as it is now. */
  async update(): Promise<void> {
    const [part, net] = [this.#chosen, this.#net];
    if (!part || !net) return;
    const isCurrent = () => part === this.#chosen && net === this.#net;
    try {
      if (!this.#maps) this.#text.textContent = `${part.path} …`;
      const { id } = outputOf(part);
      const tensor = await this.#source.activations(id);
      const looksAtInput = part.layers.some((layer) => layer.id === net.filters?.node);
      const weights =
        net.filters && looksAtInput ? await this.#source.parameter(net.filters.param, MOST_FILTERS) : undefined;
      // To receive megabytes has taken long enough for a task.
      await nextTask();
      if (!isCurrent()) return;
      this.#weights = weights;
      if (tensor) {
        this.#maps = mapsOf(imageOf(tensor));
        this.#range = robustRange(tensor.data);
        this.#first = 0;
      } else this.#maps = undefined;
      await this.#draw();
    } catch (error) {
      if (!isCurrent()) return;
      this.#empty();
      this.#status.fail(error);
    }
  }

  /** Takes away what is shown until update() knows better, and keeps its place. */
  fade(): void {
    this.#canvas.style.visibility = "hidden";
    if (this.#maps) this.#text.textContent = `${this.#chosen?.path} …`;
  }

  #empty(): void {
    this.#maps = this.#weights = undefined;
    this.#draw();
  }

  #turn(pages: number): void {
    if (!this.#maps) return;
    const step = pages * perPage(this.#maps);
    if (this.#first + step >= 0 && this.#first + step < this.#maps.count) this.#first += step;
    this.#draw();
  }

  async #draw(): Promise<void> {
    const drawing = Symbol("drawing");
    this.#drawing = drawing;
    const isCurrent = () => drawing === this.#drawing;
    const [maps, part] = [this.#maps, this.#chosen];
    find("filters-figure").hidden = !this.#weights;
    if (!maps || !part) {
      this.#canvas.hidden = find("pages").hidden = true;
      this.#text.textContent = "Load a net and show it a picture to see what a layer makes of it.";
      this.#drawFilters();
      return;
    }
    const shown = Math.min(perPage(maps), maps.count - this.#first);
    const isVector = maps.height * maps.width === 1;
    const room = this.#canvas.parentElement?.clientWidth ?? 600;
    const tile = isVector ? Math.max(6, Math.min(14, room / 66)) : Math.min(112, Math.max(64, room / 8 - 4));
    const columns = isVector ? Math.floor(room / (tile + 1.5)) : Math.max(1, Math.floor(room / (tile + 4)));
    this.#canvas.hidden = false;
    this.#canvas.style.visibility = "";
    const layout = { tile, columns, range: this.#range, first: this.#first, count: shown };
    await drawMapsInTurn(this.#canvas, maps, layout, isCurrent);
    if (!isCurrent()) return;
    const what = isVector ? `${maps.count} values` : `${maps.count} maps of ${maps.height} × ${maps.width}`;
    const { operator } = outputOf(part);
    this.#text.textContent = `${part.path} (${operator}): ${what}, full colour at ±${this.#range.toPrecision(2)}`;
    this.#canvas.ariaLabel = `Activations of ${part.path}: ${what}`;
    find("pages").hidden = shown === maps.count;
    find("maps-text").textContent = `${this.#first + 1} to ${this.#first + shown} of ${maps.count}`;
    find("previous-maps", HTMLButtonElement).disabled = this.#first === 0;
    find("next-maps", HTMLButtonElement).disabled = this.#first + shown >= maps.count;
    await nextTask();
    if (isCurrent()) this.#drawFilters();
  }

  /** The filters of the first layer: of three channels as pictures, each from its least weight to its largest. */
  #drawFilters(): void {
    const weights = this.#weights;
    if (!weights) return;
    const [all, channels, height, width] = weights.shape;
    const filters = Math.min(all, MOST_FILTERS);
    const cell = Math.max(1, Math.round(30 / width));
    const room = this.#filters.parentElement?.clientWidth ?? 600;
    const columns = Math.max(1, Math.floor(room / (cell * width + 3)));
    if (channels === 3) drawColoured(this.#filters, weights, filters, cell, Math.min(columns, filters));
    else {
      const maps = { data: weights.data, count: filters * channels, height, width };
      const range = robustRange(weights.data);
      drawMaps(this.#filters, maps, { tile: cell * width, columns, range, scale: "weight" });
    }
    this.#filters.ariaLabel = `${filters} filters of ${this.#chosen?.path}`;
    find("first-layer-filters-text").textContent =
      `${filters === all ? all : `The first ${filters} of ${all}`} filters of ${height} × ${width}${channels === 3 ? ", red, green and blue as weighted" : ""}`;
  }
}

const perPage = ({ height, width }: Maps): number => (height * width === 1 ? VALUES_PER_PAGE : PER_PAGE);

/** What has no channels before its places, as in transformers, as maps nevertheless: one for each of its last dimension. */
function imageOf({ shape, data }: Tensor): Tensor {
  if (shape.length <= 2 || shape.length === 4) return { shape, data };
  const [, ...sizes] = shape;
  const width = sizes[sizes.length - 1];
  const height = sizes[sizes.length - 2];
  return { shape: [1, data.length / (height * width), height, width], data };
}

/** Filters [O, 3, H, W] as pictures of whole device pixels, each in its own range. */
function drawColoured(
  canvas: HTMLCanvasElement,
  { shape, data }: Tensor,
  count: number,
  cell: number,
  columns: number,
): void {
  const [, , height, width] = shape;
  const scale = Math.max(1, Math.round(cell * devicePixelRatio));
  const gap = Math.round(3 * devicePixelRatio);
  const [across, down] = [scale * width + gap, scale * height + gap];
  canvas.width = columns * across - gap;
  canvas.height = Math.ceil(count / columns) * down - gap;
  canvas.style.width = `${canvas.width / devicePixelRatio}px`;
  const context = canvas.getContext("2d", IN_MEMORY) as CanvasRenderingContext2D;
  context.imageSmoothingEnabled = false;
  const small = new OffscreenCanvas(width, height);
  const smallContext = small.getContext("2d", IN_MEMORY) as OffscreenCanvasRenderingContext2D;
  const pixels = new ImageData(width, height);
  const bytes = pixels.data.fill(255);
  const area = height * width;
  for (let i = 0; i < count; i++) {
    const filter = data.subarray(i * 3 * area, (i + 1) * 3 * area);
    let [low, high] = [filter[0], filter[0]];
    for (const value of filter) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const scaled = 255 / (high - low || 1);
    for (let c = 0; c < 3; c++) for (let j = 0; j < area; j++) bytes[4 * j + c] = (filter[c * area + j] - low) * scaled;
    smallContext.putImageData(pixels, 0, 0);
    context.drawImage(small, (i % columns) * across, Math.floor(i / columns) * down, scale * width, scale * height);
  }
}
