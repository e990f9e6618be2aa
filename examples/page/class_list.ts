import { showBars } from "./bars.ts";
import { find } from "./dom.ts";
import { count } from "./format.ts";

/** Classes that are shown unasked, and at most. */
const BEST = 5;
const MOST = 60;

/** The classes of an answer: the most probable ones, or those that are searched for. */
export class ClassList {
  readonly #list = find("image-bars");
  readonly #search = find("class-search", HTMLInputElement);
  readonly #found = find("class-found");
  readonly #onChoose: (index: number) => void;
  #labels: readonly string[] = [];
  #probabilities: Float32Array | undefined;
  /** All classes, the most probable one first. */
  #order: readonly number[] = [];
  #chosen: number | undefined;

  constructor(onChoose: (index: number) => void) {
    this.#onChoose = onChoose;
    this.#search.addEventListener("input", () => this.#draw());
  }

  /** The class that is looked at: the most probable one, unless another was chosen. */
  get chosen(): number | undefined {
    return this.#chosen ?? this.#order[0];
  }

  get best(): number {
    return this.#order[0];
  }

  nameOf(index: number): string {
    return this.#labels[index] ?? `class ${index}`;
  }

  /** The classes of another net, of which none is chosen yet. */
  label(labels: readonly string[]): void {
    this.#labels = labels;
    this.#search.value = "";
    this.show(undefined);
  }

  /** Shows an answer or none; `keep` keeps the class that was chosen. */
  show(probabilities: Float32Array | undefined, keep = false): void {
    if (!keep) this.#chosen = undefined;
    this.#probabilities = probabilities;
    this.#order = probabilities ? [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]) : [];
    this.#search.disabled = !probabilities;
    const { length } = this.#order;
    this.#search.placeholder = length > 0 ? `Search all ${count(length)} classes` : "Search the classes";
    this.#draw();
  }

  choose(index: number): void {
    this.#chosen = index;
    this.#draw();
  }

  #draw(): void {
    const probabilities = this.#probabilities;
    const wanted = this.#search.value.trim().toLowerCase();
    const all = wanted
      ? this.#order.filter((index) => this.nameOf(index).toLowerCase().includes(wanted) || String(index) === wanted)
      : this.#order.slice(0, BEST);
    const shown = all.slice(0, MOST);
    // The class whose map is shown is among them, whatever its place.
    if (!wanted && this.#chosen !== undefined && !shown.includes(this.#chosen) && probabilities)
      shown.push(this.#chosen);
    const bars = shown.map((index) => ({ label: this.nameOf(index), share: probabilities?.[index] ?? 0 }));
    const place = shown.indexOf(this.chosen ?? -1);
    showBars(this.#list, bars, place, (at) => this.#onChoose(shown[at]));
    this.#found.textContent = !wanted || !probabilities ? "" : foundText(all.length, shown.length);
  }
}

const foundText = (all: number, shown: number): string =>
  all === 0
    ? "No class is called so."
    : `${count(all)} found${shown < all ? `, the ${shown} most probable are shown` : ""}`;
