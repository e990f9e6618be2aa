import { find, make } from "./dom.ts";
import { count, percent, scientific } from "./format.ts";
import { drawHeat, type HeatRange, rangeOf } from "./heat_view.ts";
import { Progress } from "./status.ts";
import type { Heat } from "./worker/heat_map.ts";
import type { HeatKind, NetDescription } from "./worker/looking.ts";

const TITLES: Readonly<Record<HeatKind, string>> = {
  activation: "Class activation map",
  gradient: "Grad-CAM",
  occlusion: "Occlusion",
};

/** The choice of a heat map, what it is of, its scale, and the map itself over the picture. */
export class HeatPanel {
  readonly #crop = find("crop");
  readonly #canvas = find("heat", HTMLCanvasElement);
  readonly #text = find("heat-text");
  readonly #legend = find("heat-legend");
  readonly #again = find("occlude", HTMLButtonElement);
  readonly #choices = [...document.querySelectorAll<HTMLInputElement>('input[name="heat"]')];
  readonly #progress = new Progress("heat-progress", "heat-bar", "cancel-heat");
  /** What was asked for; a net may not have it. */
  #wanted: HeatKind | "none" = "activation";
  #net: NetDescription | undefined;

  /** `onChange` is called when another map is asked for; `onOcclude` when the picture shall be covered. */
  constructor(onChange: () => void, onOcclude: () => void) {
    for (const choice of this.#choices) {
      choice.addEventListener("change", () => {
        this.#wanted = choice.value as HeatKind | "none";
        onChange();
      });
    }
    this.#again.addEventListener("click", onOcclude);
    const opacity = find("heat-opacity", HTMLInputElement);
    const apply = () => this.#canvas.style.setProperty("opacity", String(opacity.valueAsNumber / 100));
    opacity.addEventListener("input", apply);
    apply();
    this.clear();
  }

  get kind(): HeatKind | "none" {
    return this.#choices.find(({ checked }) => checked)?.value as HeatKind | "none";
  }

  /** Offers what a net has. */
  describe(net: NetDescription): void {
    this.#net = net;
    const hasWeights = net.heatMap.classWeights !== undefined;
    const kind = this.#wanted === "activation" && !hasWeights ? "gradient" : this.#wanted;
    for (const choice of this.#choices) {
      choice.checked = choice.value === kind;
      if (choice.value === "activation") choice.disabled = !hasWeights;
    }
    this.clear();
  }

  /** Nothing is shown of any picture; with a class, that the map of it is under way. */
  clear(label?: string): void {
    this.#crop.classList.add("plain");
    this.#legend.hidden = true;
    this.#again.hidden = true;
    this.#text.replaceChildren(...(label === undefined ? [this.#about()] : this.#titleOf(label, " …")));
  }

  /** The square was not slid over this picture yet. */
  offer(): void {
    this.clear();
    this.#again.hidden = false;
  }

  show(heat: Heat, label: string): void {
    const { kind } = this;
    if (kind === "none") return;
    const range = rangeOf(heat, kind === "occlusion");
    drawHeat(this.#canvas, heat, range);
    this.#crop.classList.remove("plain");
    this.#canvas.ariaLabel = `${TITLES[kind]} of ${label} over the picture`;
    const size = `${heat.height} × ${heat.width}`;
    const from = kind === "occlusion" ? `, ${size} places of a square` : `, ${this.#net?.heatMap.layer}, ${size}`;
    this.#text.replaceChildren(...this.#titleOf(label, from));
    this.#again.hidden = true;
    this.#legend.hidden = false;
    const [low, high] = ends(kind, range);
    find("heat-low").textContent = low;
    find("heat-high").textContent = high;
  }

  /** Work under a bar, one at a time. */
  during<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#progress.during(work);
  }

  update(done: number, total: number): void {
    this.#progress.update(done, total);
  }

  cancel(): void {
    this.#progress.cancel();
  }

  #titleOf(label: string, more: string): (Node | string)[] {
    const { kind } = this;
    return kind === "none" ? [] : [`${TITLES[kind]} of `, make("strong", {}, label), more];
  }

  #about(): string {
    const { kind } = this;
    if (kind === "activation") return "Where the last maps, weighed by the class’s weights, speak for it.";
    if (kind === "gradient") return "The last maps, weighed by the gradient of the class’s logit.";
    if (kind === "occlusion") return "What is lost of the class’s probability where a grey square covers the picture.";
    return "The picture alone.";
  }
}

/** The ends of the scale, for people. */
function ends(kind: HeatKind, { low, high }: HeatRange): [string, string] {
  if (kind === "occlusion") return ["nothing lost", `−${percent(high)} of probability`];
  const short = (value: number) => (Math.abs(value) < 1e-3 ? scientific(value) : count(value));
  return [short(low), short(high)];
}
