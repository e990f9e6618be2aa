import type { ChartConfiguration, Plugin } from "chart.js";
import { axis, bold, clip, common, look, present, room, type Style, wrap, write } from "./chart_style.ts";
import { distinct } from "./reports.ts";
import type { Bar, Bars } from "./views.ts";

/** A line of the chart: the name of a group, or one bar with its own name. */
interface Row {
  readonly heading?: string;
  readonly name?: string;
  readonly bar?: Bar;
}

/** Groups of a single bar need no headings: their bars have the names of the groups. */
const isFlat = ({ groups }: Bars): boolean => groups.every(({ bars }) => bars.length === 1);

function rowsOf(all: Bars): Row[] {
  if (isFlat(all)) return all.groups.map(({ name, bars: [bar] }) => ({ name, bar }));
  return all.groups.flatMap(({ name, bars }) => [
    { heading: name },
    ...bars.map((bar): Row => ({ name: bar.series, bar })),
  ]);
}

const seriesOf = ({ groups }: Bars): string[] =>
  distinct(groups.flatMap(({ bars }) => bars.map(({ series }) => series)));

/** Pixels of a bar, and of its line. */
const thickness = (size: number): number => Math.round(1.25 * size);
const lineHeight = (size: number): number => thickness(size) + 4;

/** Pixels that the chart takes. */
export function barsHeight(all: Bars, style: Pick<Style, "width" | "size">): number {
  const { size } = style;
  // The legend has a word for every series, as long as its symbol and its text.
  const words = isFlat(all) ? seriesOf(all).map((name) => `---${name.replaceAll(" ", "-")}`) : [];
  const legend = words.length > 1 ? wrap(words.join(" "), room(style, 0.9)).length : 0;
  return Math.round(rowsOf(all).length * lineHeight(size) + (1.8 * legend + 6) * size);
}

interface PlottedBar {
  readonly x: number;
  /** Index of the row. */
  readonly y: string;
  readonly bar: Bar;
}

/** Horizontal bars in groups, with their values behind them and whiskers where they have a spread. */
export function barChart(all: Bars, style: Style): ChartConfiguration<"bar", PlottedBar[]> {
  const rows = rowsOf(all);
  const shown = rows.flatMap(({ bar }, i) => (bar ? [{ x: bar.value, y: String(i), bar }] : []));
  const datasets = present(seriesOf(all), style).map((name) => {
    const { colour, pointStyle } = look(name, style);
    const data = shown.filter(({ bar }) => bar.series === name);
    const barThickness = thickness(style.size);
    return { label: name, data, backgroundColor: colour, pointStyle, barThickness, grouped: false };
  });
  const base = common(style);
  const width = room(style, 0.6);
  const names = room(style, style.width < 600 ? 0.34 : 0.28);
  const longest = Math.max(0, ...shown.map(({ bar: { value, high = value } }) => Math.max(value, high)));
  const letters = Math.max(0, ...shown.map(({ bar }) => bar.label.length));
  return {
    type: "bar",
    data: { labels: rows.map((_, i) => String(i)), datasets },
    options: {
      ...base,
      indexAxis: "y",
      // Some bars are too short to be pointed at.
      interaction: { mode: "nearest", axis: "y", intersect: false },
      // Room for what is written behind the bars.
      layout: { padding: { right: 0.6 * style.size * letters } },
      scales: {
        x: {
          ...axis(style, wrap(all.axis, room(style, 0.4))),
          position: "top",
          beginAtZero: true,
          suggestedMax: longest,
        },
        y: {
          ...axis(style, ""),
          title: { display: false },
          grid: { display: false },
          ticks: {
            ...axis(style, "").ticks,
            autoSkip: false,
            callback: (value) => clip(rows[Number(value)]?.name ?? "", names),
          },
        },
      },
      plugins: {
        ...base.plugins,
        legend: { ...base.plugins.legend, display: isFlat(all) && datasets.length > 1 },
        tooltip: {
          ...base.plugins.tooltip,
          callbacks: {
            title: ([item]) => wrap((item?.raw as PlottedBar)?.bar.title ?? "", width),
            label: ({ raw }) => (raw as PlottedBar).bar.lines.flatMap((text) => wrap(text, width)),
          },
        },
      },
    },
    plugins: [headings(rows, style), barLabels(style)],
  };
}

/** Writes the names of the groups above their bars. */
const headings = (rows: readonly Row[], style: Style): Plugin<"bar"> => ({
  id: "headings",
  afterDatasetsDraw({ ctx, width, scales: { y } }) {
    ctx.save();
    ctx.font = bold(style, 1);
    ctx.textBaseline = "middle";
    rows.forEach(({ heading }, i) => {
      if (heading === undefined) return;
      write(ctx, clip(heading, room({ ...style, width }, 0.95)), 0, y.getPixelForValue(i), style);
    });
    ctx.restore();
  },
});

/** Writes values behind bars and draws their whiskers. */
const barLabels = (style: Style): Plugin<"bar"> => ({
  id: "barLabels",
  afterDatasetsDraw(chart) {
    const { ctx } = chart;
    const { x: scale } = chart.scales;
    ctx.save();
    ctx.font = bold(style, 0.9);
    ctx.textBaseline = "middle";
    ctx.lineWidth = 2;
    ctx.strokeStyle = style.text;
    chart.data.datasets.forEach((dataset, i) => {
      if (!chart.isDatasetVisible(i)) return;
      chart.getDatasetMeta(i).data.forEach((element, index) => {
        const { bar } = dataset.data[index] as unknown as PlottedBar;
        const { y } = element;
        let end = element.x;
        if (bar.low !== undefined && bar.high !== undefined) {
          const [left, right] = [scale.getPixelForValue(bar.low), scale.getPixelForValue(bar.high)];
          const cap = style.size * 0.25;
          ctx.beginPath();
          ctx.moveTo(left, y);
          ctx.lineTo(right, y);
          for (const x of [left, right]) {
            ctx.moveTo(x, y - cap);
            ctx.lineTo(x, y + cap);
          }
          ctx.stroke();
          end = Math.max(end, right);
        }
        write(ctx, bar.label, end + 0.4 * style.size, y, style);
      });
    });
    ctx.restore();
  },
});
