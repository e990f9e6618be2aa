import { make } from "./dom.ts";
import { rangeOf, titleOf, WEIGHTS } from "./flow.ts";
import { type Explanation, STAGES, type Tensors, type Term, type Unit, valueAt } from "./lenet_stages.ts";
import { drawMaps, palette, type Scale } from "./maps.ts";

/** More terms than these are not listed one by one. */
const LISTED = 16;

/** Shows in numbers and colours what one value of a net is made of. */
export class UnitView {
  readonly #name: HTMLElement;
  readonly #equation = make("p", { class: "equation" });
  readonly #grids = make("div", { class: "grids" });
  readonly #terms = make("div", { class: "terms", role: "group", "aria-label": "Terms of the sum" });
  /** The term that was asked for in numbers, of which stage. */
  #asked: { readonly stage: string; readonly map: number } | undefined;
  #redraw = () => {};

  constructor(root: HTMLElement) {
    this.#name = make("p", { class: "unit-name", role: "status" });
    root.append(this.#name, this.#equation, this.#grids, this.#terms);
  }

  clear(text: string): void {
    this.#name.textContent = text;
    for (const part of [this.#equation, this.#grids, this.#terms]) part.replaceChildren();
  }

  show(tensors: Tensors, unit: Unit, explanation: Explanation | undefined): void {
    const { stage, map, y, x } = unit;
    const { maps, side } = STAGES[stage];
    const where = `${maps > 1 ? `, ${side > 1 ? "map" : "value"} ${map + 1} of ${maps}` : ""}${side > 1 ? `, row ${y + 1}, column ${x + 1}` : ""}`;
    if (stage === "linear2") this.#name.replaceChildren(make("strong", {}, "Output"), ` of the class ${map}`);
    else this.#name.replaceChildren(make("strong", {}, titleOf(stage)), where);
    this.#name.append(" = ", number(valueAt(tensors, unit), colours(this.#name, rangeOf(stage))));
    if (!explanation) {
      this.#clearParts();
      return;
    }
    this.#redraw = () => this.show(tensors, unit, explanation);
    this.#showEquation(tensors, unit, explanation);
    const chosen = this.#chosen(stage, explanation.terms);
    this.#showGrids(unit, explanation, chosen);
    this.#showTerms(unit, explanation, chosen);
  }

  #clearParts(): void {
    this.#equation.replaceChildren("What was drawn: centred, scaled and normalized as in MNIST.");
    this.#grids.replaceChildren();
    this.#terms.replaceChildren();
  }

  #chosen(stage: string, terms: readonly Term[]): Term {
    const asked = this.#asked?.stage === stage && terms.find(({ map }) => map === this.#asked?.map);
    return asked || terms.reduce((most, term) => (Math.abs(term.sum) > Math.abs(most.sum) ? term : most));
  }

  #showEquation(tensors: Tensors, { stage, map }: Unit, { bias, sum, tanh }: Explanation): void {
    const sums = colours(this.#equation, 3);
    if (bias === undefined) {
      this.#equation.replaceChildren("The mean of four values: ", number(sum, colours(this.#equation, 1), "sum"));
      return;
    }
    this.#equation.replaceChildren(
      "Σ products ",
      number(sum - bias, sums, "products"),
      " + bias ",
      number(bias, colours(this.#equation, WEIGHTS.range, "weight"), "bias"),
      " = sum ",
      number(sum, sums, "sum"),
    );
    if (tanh !== undefined) this.#equation.append(" → tanh ", number(tanh, colours(this.#equation, 1), "tanh"));
    const share = tensors.get("probabilities")?.data[map];
    if (stage === "linear2" && share !== undefined) this.#equation.append(` → softmax ${(100 * share).toFixed(1)} %`);
  }

  /** The patch, the filter and the products of one term in numbers; of several terms all of them in colours, too. */
  #showGrids({ stage }: Unit, { from, kernel, terms }: Explanation, chosen: Term): void {
    const products = chosen.patch.map((value, i) => value * chosen.filter[i]);
    const values = colours(this.#grids, rangeOf(from));
    const addends = colours(this.#grids, 1);
    const isMean = STAGES[stage].step.kind === "mean";
    const weights = isMean ? addends : colours(this.#grids, WEIGHTS.range, "weight");
    const of = terms.length > 1 ? ` of map ${chosen.map + 1}` : "";
    if (kernel > 1)
      this.#grids.replaceChildren(
        cells(`Patch${of}`, "patch", kernel, chosen.patch, values),
        sign("×"),
        cells(isMean ? "A quarter each" : `Filter${of}`, "filter", kernel, chosen.filter, weights),
        sign("="),
        cells("Products", "product", kernel, products, addends),
      );
    else this.#grids.replaceChildren();
    if (terms.length === 1) return;
    const all = make("div", { class: "all" });
    this.#grids.append(all);
    const columns = terms.length <= 6 ? terms.length : terms.length <= LISTED ? 8 : Math.ceil(terms.length / 4);
    const tile = kernel > 1 ? 20 : 9;
    const draw = (text: string, numbers: (term: Term) => readonly number[], range: number, scale?: Scale) => {
      const canvas = make("canvas", { role: "img", "aria-label": text });
      all.append(make("figure", {}, make("figcaption", {}, text), canvas));
      const maps = {
        data: Float32Array.from(terms.flatMap(numbers)),
        count: terms.length,
        height: kernel,
        width: kernel,
      };
      drawMaps(canvas, maps, { tile, columns, range, scale });
    };
    draw(kernel > 1 ? "All patches" : "All values", ({ patch }) => patch, rangeOf(from));
    draw(kernel > 1 ? "All filters" : "All weights", ({ filter }) => filter, WEIGHTS.range, "weight");
    draw("All products", ({ patch, filter }) => patch.map((value, i) => value * filter[i]), 1);
  }

  /** What each term adds: a button that shows it in numbers, or the numbers themselves where it is a single product. */
  #showTerms({ stage }: Unit, { kernel, terms }: Explanation, chosen: Term): void {
    if (terms.length === 1) {
      this.#terms.replaceChildren();
      return;
    }
    const addends = colours(this.#terms, 1);
    const bySize = [...terms].sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
    const listed = terms.length > LISTED ? bySize.slice(0, LISTED) : terms;
    const wanted = kernel > 1 ? "BUTTON" : "SPAN";
    if (this.#terms.firstElementChild?.tagName !== wanted) this.#terms.replaceChildren();
    const rest = this.#terms.querySelector(".rest");
    rest?.remove();
    while (this.#terms.children.length > listed.length) this.#terms.lastChild?.remove();
    while (this.#terms.children.length < listed.length)
      this.#terms.append(
        kernel > 1 ? make("button", { type: "button", class: "term" }) : make("span", { class: "term" }),
      );
    listed.forEach(({ map, sum, patch, filter }, i) => {
      const element = this.#terms.children[i] as HTMLElement;
      const total = number(sum, addends, "addend");
      if (kernel > 1) {
        element.replaceChildren(`map ${map + 1}: `, total);
        element.ariaPressed = String(map === chosen.map);
        element.onclick = () => {
          this.#asked = { stage, map };
          this.#redraw();
        };
      } else element.replaceChildren(`${map + 1}: ${decimals(patch[0])} × ${decimals(filter[0])} = `, total);
    });
    if (listed.length === terms.length) return;
    const others = bySize.slice(LISTED).reduce((total, { sum }) => total + sum, 0);
    const text = `${terms.length - LISTED} smaller ones: `;
    this.#terms.append(make("span", { class: "term rest" }, text, number(others, addends, "addend")));
  }
}

type Colours = (value: number) => { readonly ground: string; readonly text: string };

/** The colour that maps have for a value, and black or white, whichever can be read on it. */
function colours(on: HTMLElement, range: number, scale: Scale = "map"): Colours {
  const paint = palette(getComputedStyle(on), range, scale);
  const pixel = new Uint32Array(1);
  return (value) => {
    pixel[0] = paint(value);
    const [r, g, b] = new Uint8Array(pixel.buffer);
    const [red, green, blue] = [r, g, b].map((v) => (v <= 10 ? v / 3295 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    // Where black and white have the same contrast.
    const isLight = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179;
    return { ground: `rgb(${r} ${g} ${b})`, text: isLight ? "#000" : "#fff" };
  };
}

const decimals = (value: number): string => value.toFixed(2).replace("-", "−");

/** A number of two decimals, in its colour; all of its digits are the value of the element. */
function number(value: number, colours: Colours, kind = ""): HTMLElement {
  const element = make("data", { value: String(value), class: `cell ${kind}` }, decimals(value));
  const { ground, text } = colours(value);
  element.style.background = ground;
  element.style.color = text;
  return element;
}

function cells(title: string, kind: string, kernel: number, values: readonly number[], colours: Colours): HTMLElement {
  const grid = make("div", { class: "cells" }, ...values.map((value) => number(value, colours, kind)));
  grid.style.gridTemplateColumns = `repeat(${kernel}, auto)`;
  return make("figure", {}, make("figcaption", {}, title), grid);
}

const sign = (text: string): HTMLElement => make("span", { class: "sign" }, text);
