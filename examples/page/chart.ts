import { makeSvg } from "./dom.ts";
import { count } from "./format.ts";

/** Points of a curve, by their steps. */
export interface Curve {
  readonly kind: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly dots?: boolean;
}

export interface Axis {
  /** The top of the chart; its bottom is 0. */
  readonly top: number;
  /** A value of the axis, for people. */
  tick(value: number): string;
}

/** More points than these nobody can see. */
const MOST = 400;

/** Draws curves over steps into an SVG of the size that the style sheet gives it. */
export function drawChart(svg: SVGSVGElement, curves: readonly Curve[], { top, tick }: Axis): void {
  const { clientWidth: width, clientHeight: height } = svg;
  const [left, right, above, below] = [48, 12, 10, 24];
  const last = Math.max(10, ...curves.flatMap(({ points }) => points.at(-1)?.[0] ?? 0));
  const x = (step: number) => left + (step / last) * (width - left - right);
  const y = (value: number) => above + (1 - Math.min(value, top) / top) * (height - above - below);
  const text = (value: string, at: number, line: number, anchor: string) =>
    makeSvg("text", { x: at, y: line, "text-anchor": anchor }, value);
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((part) => [
    makeSvg("line", { class: "grid", x1: left, x2: width - right, y1: y(part * top), y2: y(part * top) }),
    text(tick(part * top), left - 6, y(part * top) + 4, "end"),
  ]);
  const steps = [text("0", left, height - 6, "start"), text(`${count(last)} steps`, width - right, height - 6, "end")];
  const drawn = curves.flatMap(({ kind, points, dots }) => {
    const places = thinned(points).map(([step, value]) => [x(step), y(value)]);
    const line = makeSvg("polyline", { class: kind, points: places.map((place) => place.join()).join(" ") });
    const marks = dots ? places.map(([cx, cy]) => makeSvg("circle", { class: kind, cx, cy, r: 3 })) : [];
    return [line, ...marks];
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...grid, ...steps, ...drawn);
}

/** Of many points the means of neighbours. */
function thinned(points: Curve["points"]): (readonly [number, number])[] {
  const size = Math.ceil(points.length / MOST);
  if (size <= 1) return [...points];
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const some = points.slice(i * size, (i + 1) * size);
    return [some[some.length - 1][0], some.reduce((sum, [, value]) => sum + value, 0) / some.length] as const;
  });
}

/** An average that forgets: each point counts twice what the one twenty steps before it does, or so. */
export function smoothed(points: Curve["points"]): Curve["points"] {
  let [mean, weight] = [0, 0];
  return points.map(([x, y]) => {
    mean = 0.95 * mean + 0.05 * y;
    weight = 0.95 * weight + 0.05;
    return [x, mean / weight] as const;
  });
}
