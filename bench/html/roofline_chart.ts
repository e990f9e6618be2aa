import type { ChartConfiguration, Plugin } from "chart.js";
import { roof } from "../../engine/tuning/report.ts";
import type { Roofline } from "../report/report.ts";
import { axis, bold, common, look, present, room, type Style, wrap, write } from "./chart_style.ts";
import { billions } from "./format.ts";
import type { Point } from "./views.ts";

/** Only 1, 10, 100; on a short axis 2 and 5 as well. */
function logTick(this: { min: number; max: number }, value: number | string): string {
  const number = Number(value);
  const mantissa = number / 10 ** Math.floor(Math.log10(number) + 1e-9);
  const wanted = this.max / this.min > 200 ? [1] : [1, 2, 5];
  if (!wanted.some((each) => Math.abs(mantissa - each) < 1e-6)) return "";
  return number.toLocaleString("en-US", { maximumSignificantDigits: 1 });
}

interface PlottedPoint {
  readonly x: number;
  readonly y: number;
  readonly point?: Point;
}

/** Operations per byte against operations per second, both logarithmic, under the measured roof. */
export function rooflineChart(
  points: readonly Point[],
  roofline: Roofline,
  style: Style,
): ChartConfiguration<"scatter", PlottedPoint[]> {
  const series = present(
    points.map((point) => point.series),
    style,
  );
  const radius = 0.45 * style.size;
  const datasets = series.map((name) => {
    const { colour, pointStyle } = look(name, style);
    const own = points.filter((point) => point.series === name);
    const sizes = own.map(({ chosen }) => (chosen ? radius : radius * 0.8));
    return {
      label: name,
      data: own.map((point) => ({ x: point.intensity, y: point.rate / 1e9, point })),
      pointStyle,
      pointRadius: sizes,
      pointHoverRadius: sizes.map((size) => 1.5 * size),
      pointBackgroundColor: own.map(({ chosen }) => (chosen ? colour : "transparent")),
      backgroundColor: colour,
      borderColor: colour,
      pointBorderWidth: 2,
      pointHitRadius: radius,
    };
  });
  const line = roof(
    points.map(({ intensity }) => intensity),
    roofline,
  ).map(({ x, y }) => ({ x, y: y / 1e9 }));
  const ceiling = {
    label: "roofline",
    data: line,
    showLine: true,
    pointRadius: 0,
    pointHitRadius: 0,
    borderColor: style.text,
    backgroundColor: style.text,
    borderWidth: 3,
    pointStyle: "line" as const,
  };
  const rates = [...points.map(({ rate }) => rate), roofline.flops].map((rate) => rate / 1e9);
  const base = common(style);
  const width = room(style, 0.6);
  return {
    type: "scatter",
    data: { datasets: [ceiling, ...datasets] },
    options: {
      ...base,
      scales: {
        x: {
          ...axis(style, "Operations per byte (FLOP/B)"),
          type: "logarithmic",
          min: line[0].x,
          max: line[2].x,
          ticks: { ...axis(style, "").ticks, callback: logTick, autoSkip: false, maxRotation: 0 },
        },
        y: {
          ...axis(style, "GFLOP/s"),
          type: "logarithmic",
          min: Math.min(...rates) / 1.5,
          max: Math.max(...rates) * 2,
          ticks: { ...axis(style, "").ticks, callback: logTick, autoSkip: false },
        },
      },
      plugins: {
        ...base.plugins,
        tooltip: {
          ...base.plugins.tooltip,
          filter: ({ raw }) => (raw as PlottedPoint).point !== undefined,
          callbacks: {
            title: ([item]) => wrap((item?.raw as PlottedPoint)?.point?.title ?? "", width),
            label: ({ raw }) => ((raw as PlottedPoint).point?.lines ?? []).flatMap((text) => wrap(text, width)),
          },
        },
      },
    },
    plugins: [roofLabels(roofline, style)],
  };
}

/** Writes on the roof what it stands for. */
const roofLabels = ({ flops, bytes }: Roofline, style: Style): Plugin<"scatter"> => ({
  id: "roofLabels",
  afterDatasetsDraw({ ctx, scales: { x, y }, chartArea }) {
    const ridge = { x: x.getPixelForValue(flops / bytes), y: y.getPixelForValue(flops / 1e9) };
    const foot = { x: x.getPixelForValue(x.min), y: y.getPixelForValue((x.min * bytes) / 1e9) };
    const angle = Math.atan2(ridge.y - foot.y, ridge.x - foot.x);
    ctx.save();
    ctx.font = bold(style);
    ctx.textBaseline = "bottom";
    ctx.textAlign = "right";
    write(ctx, `${billions(flops)} GFLOP/s`, chartArea.right - 4, ridge.y - 6, style);
    // In the middle of what can be seen of the slope.
    const visible = Math.min(1, (chartArea.bottom - ridge.y) / Math.max(1, foot.y - ridge.y));
    ctx.translate(ridge.x - ((ridge.x - foot.x) * visible) / 2, ridge.y + ((foot.y - ridge.y) * visible) / 2);
    ctx.rotate(angle);
    ctx.textAlign = "center";
    write(ctx, `${billions(bytes)} GB/s`, 0, -6, style);
    ctx.restore();
  },
});
