import { sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import { find, make, onColorScheme } from "./dom.ts";
import { sizes } from "./format.ts";
import { drawMaps, type Maps, mapsOf, robustRange } from "./maps.ts";
import type { Status } from "./status.ts";
import type { NetDescription } from "./worker/looking.ts";

type Layer = NetDescription["layers"][number];

/** Maps that are shown at once; values of vectors. */
const PER_PAGE = 64;
const VALUES_PER_PAGE = 4096;

/** The layers of a net to choose from, and the activations of the one that is chosen. */
export class LayerView {
  readonly #list = find("layers");
  readonly #canvas = find("maps", HTMLCanvasElement);
  readonly #text = find("layer-text");
  readonly #status: Status;
  readonly #activationsOf: (layer: string) => Promise<Tensor | undefined>;
  #chosen: Layer | undefined;
  #maps: Maps | undefined;
  #range = 1;
  #first = 0;

  /** `activationsOf` resolves with a layer's output for the picture, or undefined where there is none. */
  constructor(status: Status, activationsOf: (layer: string) => Promise<Tensor | undefined>) {
    this.#status = status;
    this.#activationsOf = activationsOf;
    find("previous-maps").addEventListener("click", () => this.#turn(-1));
    find("next-maps").addEventListener("click", () => this.#turn(1));
    onColorScheme(() => this.#draw());
    addEventListener("resize", () => this.#draw());
  }

  /** Lists the layers of a net. */
  list(layers: readonly Layer[]): void {
    this.#chosen = undefined;
    this.#empty();
    const largest = Math.max(...layers.map(({ shape }) => sizeOf(shape)));
    const rows = layers.map((layer) => {
      const input = make("input", { type: "radio", name: "layer" });
      input.addEventListener("change", () => {
        this.#chosen = layer;
        this.update();
      });
      const bar = make("span", { class: "size", "aria-hidden": "true" });
      bar.style.width = `${100 * Math.sqrt(sizeOf(layer.shape) / largest)}%`;
      const shape = make("span", { class: "quiet" }, sizes(layer.shape));
      // A name that is a number in a list does not say what it is.
      const operator = /\.\d+$/.test(layer.name) ? ` ${layer.operator}` : "";
      const name = make("span", {}, layer.name, make("span", { class: "quiet" }, operator));
      return make("label", {}, input, name, shape, bar);
    });
    this.#list.replaceChildren(this.#list.firstElementChild as Element, ...rows);
  }

  /** Shows the chosen layer for the picture as it is now. */
  async update(): Promise<void> {
    const layer = this.#chosen;
    if (!layer) return;
    try {
      this.#text.textContent = `${layer.name} …`;
      const tensor = await this.#activationsOf(layer.name);
      if (layer !== this.#chosen) return;
      if (!tensor) {
        this.#empty();
        return;
      }
      this.#maps = mapsOf(tensor);
      this.#range = robustRange(tensor.data);
      this.#first = 0;
      this.#draw();
    } catch (error) {
      this.#empty();
      this.#status.fail(error);
    }
  }

  /** Takes away what is shown until update() knows better, and keeps its place. */
  fade(): void {
    this.#canvas.style.visibility = "hidden";
  }

  #empty(): void {
    this.#maps = undefined;
    this.#canvas.hidden = find("pages").hidden = true;
    this.#text.textContent = "Load a net, show it a picture and choose a layer to see what it makes of it.";
  }

  #turn(pages: number): void {
    if (!this.#maps) return;
    const step = pages * perPage(this.#maps);
    if (this.#first + step >= 0 && this.#first + step < this.#maps.count) this.#first += step;
    this.#draw();
  }

  #draw(): void {
    const [maps, layer] = [this.#maps, this.#chosen];
    if (!maps || !layer) return;
    const shown = Math.min(perPage(maps), maps.count - this.#first);
    const isVector = maps.height * maps.width === 1;
    const room = this.#canvas.parentElement?.clientWidth ?? 600;
    const tile = isVector ? Math.max(6, Math.min(14, room / 66)) : Math.min(112, Math.max(64, room / 8 - 4));
    const columns = isVector ? Math.floor(room / (tile + 1.5)) : Math.max(1, Math.floor(room / (tile + 4)));
    this.#canvas.hidden = false;
    this.#canvas.style.visibility = "";
    drawMaps(this.#canvas, maps, { tile, columns, range: this.#range, first: this.#first, count: shown });
    const what = isVector ? `${maps.count} values` : `${maps.count} maps of ${maps.height} × ${maps.width}`;
    this.#text.textContent = `${layer.name} (${layer.operator}): ${what}, full colour at ±${this.#range.toPrecision(2)}`;
    this.#canvas.ariaLabel = `Activations of ${layer.name}: ${what}`;
    find("pages").hidden = shown === maps.count;
    find("maps-text").textContent = `${this.#first + 1} to ${this.#first + shown} of ${maps.count}`;
    find("previous-maps", HTMLButtonElement).disabled = this.#first === 0;
    find("next-maps", HTMLButtonElement).disabled = this.#first + shown >= maps.count;
  }
}

const perPage = ({ height, width }: Maps): number => (height * width === 1 ? VALUES_PER_PAGE : PER_PAGE);
