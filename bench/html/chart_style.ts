import {
  BarController,
  BarElement,
  CategoryScale,
  Chart,
  Legend,
  type LegendItem,
  LinearScale,
  LineController,
  LineElement,
  LogarithmicScale,
  PointElement,
  ScatterController,
  Tooltip,
} from "chart.js";

// What the charts have in common.

Chart.register(BarController, BarElement, CategoryScale, Legend, LinearScale, LineController, LineElement);
Chart.register(LogarithmicScale, PointElement, ScatterController, Tooltip);

/** What a chart takes from the page around it. */
export interface Style {
  readonly text: string;
  readonly faint: string;
  readonly background: string;
  /** Colours that can be told apart, by colour-blind people, too. */
  readonly colours: readonly string[];
  /** All that a report compares, in order: each keeps its colour whatever is shown. */
  readonly series: readonly string[];
  readonly font: string;
  /** In pixels. */
  readonly size: number;
  /** Of the chart, in pixels. */
  readonly width: number;
  /** Device pixels per pixel. */
  readonly density: number;
}

/** So that there are more series than colours, and colours are not all that tells them apart. */
const SHAPES = ["circle", "rectRot", "triangle", "rect", "star"] as const;

/** How a series is drawn. */
export function look(name: string, { series, colours }: Style) {
  const i = Math.max(0, series.indexOf(name));
  return {
    colour: colours[i % colours.length],
    pointStyle: SHAPES[Math.floor(i / colours.length) % SHAPES.length],
  };
}

/** Those of the series that are there, in order. */
export const present = (names: readonly string[], { series }: Style): string[] =>
  series.filter((name) => names.includes(name));

/** Characters of a tooltip's line, and of a bar's name. */
export const room = ({ width, size }: Pick<Style, "width" | "size">, share: number): number =>
  Math.max(12, Math.floor((share * width) / (0.55 * size)));

export function common(style: Style) {
  const font = { family: style.font, size: style.size };
  return {
    responsive: true,
    maintainAspectRatio: false,
    devicePixelRatio: style.density,
    animation: false as const,
    font,
    color: style.text,
    layout: { padding: { top: style.size, right: style.size } },
    plugins: {
      legend: {
        position: "top" as const,
        align: "start" as const,
        labels: {
          font,
          color: style.text,
          usePointStyle: true,
          boxHeight: 0.6 * style.size,
          padding: 0.7 * style.size,
          generateLabels: filledLabels,
        },
      },
      tooltip: {
        backgroundColor: style.text,
        titleColor: style.background,
        bodyColor: style.background,
        titleFont: { ...font, weight: "bold" as const },
        bodyFont: font,
        padding: 0.7 * style.size,
        boxPadding: 0.3 * style.size,
        usePointStyle: true,
      },
    },
  };
}

/** Labels of the legend, filled also where the first point of a series is hollow. */
function filledLabels(chart: Chart): LegendItem[] {
  return Chart.defaults.plugins.legend.labels.generateLabels(chart).map((label) => {
    const colour = chart.data.datasets[label.datasetIndex ?? 0].backgroundColor as string;
    return { ...label, fillStyle: colour, strokeStyle: colour };
  });
}

export const axis = ({ text, faint, font, size }: Style, title: string | string[]) => ({
  title: { display: true, text: title, color: text, font: { family: font, size } },
  ticks: { color: text, font: { family: font, size: size * 0.9 } },
  grid: { color: faint },
  border: { color: text },
});

/** Writes text that can be read on whatever is behind it. */
export function write(ctx: CanvasRenderingContext2D, text: string, x: number, y: number, style: Style): void {
  ctx.save();
  ctx.lineWidth = 0.3 * style.size;
  ctx.lineJoin = "round";
  ctx.strokeStyle = style.background;
  ctx.fillStyle = style.text;
  ctx.strokeText(text, x, y);
  ctx.fillText(text, x, y);
  ctx.restore();
}

export const bold = ({ font, size }: Style, factor = 0.95): string => `600 ${factor * size}px ${font}`;

/** Cut to `width` characters. */
export const clip = (text: string, width: number): string =>
  text.length > width ? `${text.slice(0, width - 1)}…` : text;

/** Lines of at most `width` characters, broken between words. */
export function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines[lines.length - 1]} ${word}`.trim();
    if (longer.length > width && lines[lines.length - 1] !== "") lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
