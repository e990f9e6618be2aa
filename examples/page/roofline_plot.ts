import { roof } from "../../engine/tuning/report.ts";
import type { Roofline } from "../../engine/tuning/roofline.ts";
import { find, makeSvg } from "./dom.ts";
import { count } from "./format.ts";

/** A layer in the plot. */
export interface Spot {
  /** Operations per byte. */
  readonly intensity: number;
  /** Operations per second; nothing before it is measured. */
  readonly rate?: number;
  /** Of the time of all layers: the area of its disc. */
  readonly share: number;
  /** Its name, and all that is known of it. */
  readonly text: string;
}

/** Before anything is measured: the shape of a roof, with its ridge where many GPUs have it. */
const SKETCH = { flops: 20e9, bytes: 1e9 };

/** A touch this near to a layer points at it, in pixels. */
const REACH = 40;

/**
 * Operations per byte against operations per second, both logarithmic: layers as discs under the measured roofs. Layers can be
 * pointed at, and gone through by the arrow keys.
 */
export class RooflinePlot {
  readonly #svg = makeSvg("svg", {
    role: "group",
    "aria-label": "Layers by operations per byte and per second; arrow keys go from one to the next",
  });
  readonly #text = find("roofline-text");
  readonly #onPoint: (index: number | undefined) => void;
  readonly #onChoose: (index: number) => void;
  #spots: readonly Spot[] = [];
  #roofline: Roofline | undefined;
  #hint = "";
  /** Places by the layer's index, from the left to the right. */
  #places: { index: number; x: number; y: number; disc: SVGElement }[] = [];

  /** `onPoint` hears which layer is pointed at, `onChoose` which one is pressed. */
  constructor(onPoint: (index: number | undefined) => void, onChoose: (index: number) => void) {
    this.#onPoint = onPoint;
    this.#onChoose = onChoose;
    const svg = this.#svg;
    find("roofline").replaceChildren(svg);
    svg.addEventListener("pointermove", (event) => this.#tell(this.#nearest(event)));
    svg.addEventListener("pointerdown", (event) => this.#tell(this.#nearest(event)));
    svg.addEventListener("pointerleave", ({ pointerType }) => {
      // What was touched stays.
      if (pointerType === "mouse") this.#tell(undefined);
    });
    svg.addEventListener("click", (event) => {
      const index = this.#nearest(event);
      // A touch only points: what it says stands below.
      if (index !== undefined && (event as PointerEvent).pointerType !== "touch") this.#onChoose(index);
    });
    svg.addEventListener("keydown", (event) => this.#press(event));
    svg.addEventListener("focusin", ({ target }) => this.#tell(this.#indexOf(target)));
    svg.addEventListener("focusout", () => this.#tell(undefined));
    new ResizeObserver(() => this.#draw()).observe(svg);
  }

  /** Shows other layers, under the measured roofs, or under the shape of some; `hint` stands there while none is pointed at. */
  show(spots: readonly Spot[], roofline: Roofline | undefined, hint: string): void {
    this.#spots = spots;
    this.#roofline = roofline;
    this.#hint = hint;
    this.#svg.classList.toggle("sketch", !roofline);
    this.#draw();
    this.point(undefined);
  }

  /** Marks a layer, and says what is known of it. */
  point(index: number | undefined): void {
    for (const place of this.#places) place.disc.classList.toggle("pointed", place.index === index);
    this.#text.textContent = index === undefined ? this.#hint : this.#spots[index].text;
  }

  #tell(index: number | undefined): void {
    this.point(index);
    this.#onPoint(index);
  }

  #indexOf(target: EventTarget | null): number | undefined {
    return this.#places.find(({ disc }) => disc === target)?.index;
  }

  #nearest({ clientX, clientY }: MouseEvent): number | undefined {
    const box = this.#svg.getBoundingClientRect();
    let best: { index?: number; distance: number } = { distance: REACH };
    for (const { index, x, y } of this.#places) {
      const distance = Math.hypot(x - (clientX - box.left), y - (clientY - box.top));
      if (distance < best.distance) best = { index, distance };
    }
    return best.index;
  }

  #press(event: KeyboardEvent): void {
    const at = this.#places.findIndex(({ disc }) => disc === event.target);
    if (at < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#onChoose(this.#places[at].index);
      return;
    }
    const last = this.#places.length - 1;
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: last }[
      event.key
    ];
    if (to === undefined) return;
    event.preventDefault();
    const next = this.#places[Math.min(last, Math.max(0, to))].disc;
    for (const { disc } of this.#places) disc.setAttribute("tabindex", disc === next ? "0" : "-1");
    next.focus();
  }

  #draw(): void {
    const svg = this.#svg;
    const { clientWidth: width, clientHeight: height } = svg;
    // It is drawn when it is shown.
    if (width === 0) return;
    const em = Number.parseFloat(getComputedStyle(svg).fontSize);
    const isMeasured = this.#roofline !== undefined;
    const { flops, bytes } = this.#roofline ?? SKETCH;
    const shown = this.#spots.map((spot, index) => ({ ...spot, index })).filter(({ intensity }) => intensity > 0);
    const line = roof(
      shown.map(({ intensity }) => intensity),
      { flops, bytes },
    );
    const [foot, ridge, end] = line;
    const rates = [flops, ...shown.flatMap(({ rate }) => rate ?? [])];
    const least = isMeasured ? Math.min(...rates) / 2 : flops / 300;
    const [left, right, above, below] = [3.6 * em, 0.8 * em, 1.6 * em, 3 * em];
    const x = logScale(foot.x, end.x, left, width - right);
    const y = logScale(least, 2 * Math.max(...rates), height - below, above);
    const text = (value: string, place: Record<string, string | number>) => makeSvg("text", place, value);
    const grid = [
      ...ticks(foot.x, end.x).flatMap((value) => [
        makeSvg("line", { class: "grid", x1: x(value), x2: x(value), y1: above, y2: height - below }),
        text(count(value), { x: x(value), y: height - below + 1.2 * em, "text-anchor": "middle" }),
      ]),
      ...(isMeasured ? ticks(least, 2 * Math.max(...rates)) : []).flatMap((value) => [
        makeSvg("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
        text(count(value / 1e9), { x: left - 0.4 * em, y: y(value) + 0.35 * em, "text-anchor": "end" }),
      ]),
      text("operations per byte", { x: width - right, y: height - 0.3 * em, "text-anchor": "end" }),
      text("GFLOP/s", { x: 0, y: 0.9 * em }),
    ];
    // The slope may begin below what is shown.
    const start = Math.max(foot.x, least / bytes);
    const points = [
      [start, start * bytes],
      [ridge.x, ridge.y],
      [end.x, end.y],
    ].map(([a, b]) => `${x(a)},${y(b)}`);
    const middle = { x: (x(start) + x(ridge.x)) / 2, y: (y(start * bytes) + y(flops)) / 2 };
    const angle = (Math.atan2(y(flops) - y(start * bytes), x(ridge.x) - x(start)) * 180) / Math.PI;
    const roofs = [
      makeSvg("polyline", { class: "roof", points: points.join(" ") }),
      text(isMeasured ? `${count(flops / 1e9)} GFLOP/s` : "as fast as it can compute", {
        class: "roof-name",
        x: width - right,
        y: y(flops) - 0.5 * em,
        "text-anchor": "end",
      }),
      text(isMeasured ? `${count(bytes / 1e9)} GB/s` : "as fast as its memory", {
        class: "roof-name",
        "text-anchor": "middle",
        transform: `translate(${middle.x} ${middle.y}) rotate(${angle}) translate(0 ${-0.5 * em})`,
      }),
    ];
    this.#places = shown
      .map(({ index, intensity, rate, share, text }) => {
        const place = { x: x(intensity), y: rate ? y(rate) : height - below - 0.5 * em };
        const r = em * (rate ? 0.3 + 1.1 * Math.sqrt(share) : 0.25);
        const disc = makeSvg("circle", { cx: place.x, cy: place.y, r, role: "button", "aria-label": text });
        return { index, ...place, disc };
      })
      .sort((a, b) => a.x - b.x || a.index - b.index);
    for (const [i, { disc }] of this.#places.entries()) disc.setAttribute("tabindex", i === 0 ? "0" : "-1");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    // The largest are behind the others.
    const discs = this.#places.map(({ disc }) => disc).sort((a, b) => radius(b) - radius(a));
    svg.replaceChildren(...grid, ...roofs, ...discs);
  }
}

const radius = (disc: SVGElement): number => Number(disc.getAttribute("r"));

const logScale = (least: number, most: number, from: number, to: number) => (value: number) =>
  from + ((to - from) * Math.log(value / least)) / Math.log(most / least);

/** Powers of ten between two values; on a short axis 2 and 5 of them as well. */
function ticks(least: number, most: number): number[] {
  const powers = Array.from(
    { length: Math.ceil(Math.log10(most / least)) + 2 },
    (_, i) => 10 ** (Math.floor(Math.log10(least)) + i),
  );
  const steps = most / least > 200 ? [1] : [1, 2, 5];
  return powers.flatMap((power) => steps.map((step) => step * power)).filter((tick) => tick >= least && tick <= most);
}
