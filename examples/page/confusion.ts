import { make } from "./dom.ts";
import { percent } from "./format.ts";
import { type Sample, thumbnail } from "./samples.ts";

/** What a net says of a sample that it was not trained with. */
export interface Reading {
  readonly sample: Sample;
  /** The class that it is of, and the one that it is taken for. */
  readonly label: number;
  readonly guess: number;
  /** Of the guess. */
  readonly probability: number;
}

/** Which samples of what class are taken for which: a row for each class, a column for each answer. */
export class Confusion {
  readonly #table: HTMLTableElement;
  readonly #title: HTMLElement;
  readonly #pictures: HTMLElement;
  #chosen: readonly [row: number, column: number] | undefined;

  constructor(table: HTMLTableElement, title: HTMLElement, pictures: HTMLElement) {
    this.#table = table;
    this.#title = title;
    this.#pictures = pictures;
  }

  /** Shows readings in place of those before; none shows nothing. */
  show(names: readonly string[], readings: readonly Reading[]): void {
    this.#chosen = undefined;
    this.#fill(names, readings);
  }

  #fill(names: readonly string[], readings: readonly Reading[]): void {
    const cells = names.map((_, row) =>
      names.map((_, column) => readings.filter(({ label, guess }) => label === row && guess === column)),
    );
    const choose = (row: number, column: number) => {
      this.#chosen = [row, column];
      this.#fill(names, readings);
      this.#table.querySelector<HTMLElement>("[aria-pressed=true]")?.focus();
    };
    const head = make(
      "tr",
      {},
      make("td", { class: "corner quiet" }, "is ↓ read\u00a0→"),
      ...names.map((name) => make("th", { class: "column-name", scope: "col" }, make("span", {}, name))),
    );
    const rows = cells.map((row, i) => {
      const all = row.reduce((sum, { length }) => sum + length, 0);
      const made = row.map((some, j) => this.#cell(names, i, j, some.length, some.length / all, () => choose(i, j)));
      return make("tr", {}, make("th", { class: "row-name", scope: "row" }, make("span", {}, names[i])), ...made);
    });
    this.#table.classList.toggle("narrow", names.length > 6);
    const caption = make("caption", { class: "spoken" }, "What held-out samples of each class are read as");
    this.#table.replaceChildren(caption, make("thead", {}, head), make("tbody", {}, ...rows));
    this.#table.style.setProperty("--classes", String(names.length));
    this.#table.hidden = readings.length === 0;
    const [row, column] = this.#chosen ?? [];
    const shown = row === undefined || column === undefined ? [] : cells[row][column];
    this.#title.textContent =
      row === undefined || column === undefined ? "" : `${names[row]} read as ${names[column]}: ${shown.length}`;
    this.#pictures.replaceChildren(
      ...shown.map(({ sample, probability }) =>
        make(
          "li",
          {},
          thumbnail(sample, make("canvas", { role: "img", "aria-label": `A sample of ${names[row ?? 0]}` })),
          make("span", { class: "quiet" }, percent(probability)),
        ),
      ),
    );
  }

  #cell(names: readonly string[], row: number, column: number, count: number, share: number, choose: () => void) {
    if (count === 0) return make("td", { class: "quiet" }, "0");
    const label = `${names[row]} read as ${names[column]}: ${count}`;
    const isChosen = this.#chosen?.[0] === row && this.#chosen?.[1] === column;
    const button = make(
      "button",
      { class: "confusion-count", type: "button", "aria-label": label, "aria-pressed": String(isChosen) },
      `${count}`,
    );
    button.classList.toggle("wrong", row !== column);
    button.style.setProperty("--share", `${100 * share}%`);
    button.addEventListener("click", choose);
    return make("td", {}, button);
  }
}
