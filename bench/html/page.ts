// The script of the page that html.ts writes: draws its charts, sorts its tables.
import { Chart } from "chart.js";
import type { KernelReport, NetReport, NetRow } from "../report/report.ts";
import { barChart, barsHeight } from "./bar_chart.ts";
import type { Style } from "./chart_style.ts";
import { distinct, engineName, type PageReport, type PeerReport } from "./reports.ts";
import { rooflineChart } from "./roofline_chart.ts";
import * as views from "./views.ts";

/** Set by elements of the page by their ids; see html.ts. */
const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

/** What a list to choose from stands at. */
const chosen = <T extends string>(id: string): T => element<HTMLSelectElement>(id).value as T;

/** How one chart is drawn; bars say how tall they are. */
interface Drawing {
  readonly draw: (style: Style) => ReturnType<typeof rooflineChart> | ReturnType<typeof barChart>;
  readonly height?: (style: Pick<Style, "width" | "size">) => number;
  /** All that the chart may compare. */
  readonly series: readonly string[];
}

/** By the ids of their canvases. */
type Drawings = Readonly<Record<string, Drawing>>;

const bars = (series: readonly string[], make: () => views.Bars): Drawing => ({
  draw: (style) => barChart(make(), style),
  height: (style) => barsHeight(make(), style),
  series,
});

function drawings(report: PageReport): Drawings {
  if (report.kind === "kernels") return kernelDrawings(report);
  if (report.kind === "nets") return netDrawings(report);
  return peerDrawings(report);
}

function kernelDrawings({ rows, roofline }: KernelReport): Drawings {
  const series = distinct(rows.map(({ variant }) => variant));
  const ofNet = () => views.ofNet(rows, chosen("net"));
  return {
    roofline: { draw: (style) => rooflineChart(views.kernelPoints(ofNet()), roofline, style), series },
    layers: bars(series, () => views.kernelBars(ofNet(), chosen("net"), chosen("measure"))),
  };
}

function netDrawings({ rows, roofline }: NetReport): Drawings {
  const batches = distinct(rows.map(views.batchName));
  const nets = distinct(rows.map(({ net }) => net));
  const choices = views.layerChoices(rows);
  const kernels = distinct([...choices.values()].flatMap((row) => (row.layers ?? []).map(views.kernelsName)));
  const layered = () => views.layerBars(choices.get(chosen("layered")) as NetRow);
  return {
    nets: bars(batches, () => views.netBars(rows, chosen("measure"))),
    ...(choices.size > 0 && { layers: bars(kernels, layered) }),
    roofline: { draw: (style) => rooflineChart(views.netPoints(rows), roofline, style), series: nets },
  };
}

const peerDrawings = ({ rows }: PeerReport): Drawings => ({
  peers: bars(distinct(rows.map(engineName)), () => views.peerBars(rows, chosen("measure"))),
});

/** Of a canvas: Safari on phones draws nothing on larger ones. */
const MOST_PIXELS = 2 ** 24;

const densityOf = ({ clientWidth, clientHeight }: HTMLElement): number =>
  Math.min(devicePixelRatio, Math.sqrt(MOST_PIXELS / (clientWidth * clientHeight)));

/** Colours and fonts as the style sheet has them now, for a chart in a box. */
function styleOf(box: HTMLElement, series: readonly string[]): Omit<Style, "density"> {
  const probe = document.body.appendChild(document.createElement("span"));
  const colour = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = Array.from({ length: 8 }, (_, i) => `series-${i + 1}`);
  const { fontFamily: font, fontSize } = getComputedStyle(box);
  const style = {
    text: colour("text"),
    faint: colour("faint"),
    background: colour("background"),
    colours: names.map(colour),
    series,
    font,
    size: Number.parseFloat(fontSize),
    width: box.clientWidth,
  };
  probe.remove();
  return style;
}

const charts = new Map<string, Chart>();

function drawAll(all: Drawings): void {
  for (const [id, { draw, height, series }] of Object.entries(all)) {
    const canvas = element<HTMLCanvasElement>(id);
    const box = canvas.parentElement as HTMLElement;
    charts.get(id)?.destroy();
    const style = styleOf(box, series);
    if (height) box.style.height = `${height(style)}px`;
    charts.set(id, new Chart(canvas, draw({ ...style, density: densityOf(box) }) as never));
  }
}

/** Arrow keys go from one point or bar to the next and have it read aloud. */
function listenToKeys(id: string): void {
  const canvas = element<HTMLCanvasElement>(id);
  const spoken = element(`${id}-spoken`);
  let current = -1;
  const show = (chart: Chart, active: { datasetIndex: number; index: number }[]) => {
    const at = active.map(({ datasetIndex, index }) => chart.getDatasetMeta(datasetIndex).data[index])[0];
    chart.setActiveElements(active);
    chart.tooltip?.setActiveElements(active, { x: at?.x ?? 0, y: at?.y ?? 0 });
    chart.update("none");
    const { title = [], body = [] } = active.length > 0 ? (chart.tooltip ?? {}) : {};
    spoken.textContent = [...title, ...body.flatMap(({ lines }) => lines)].join(", ");
  };
  canvas.addEventListener("keydown", (event) => {
    const chart = charts.get(id);
    if (!chart) return;
    const places = placesOf(chart);
    const last = places.length - 1;
    const next = {
      ArrowRight: Math.min(current + 1, last),
      ArrowDown: Math.min(current + 1, last),
      ArrowLeft: Math.max(current - 1, 0),
      ArrowUp: Math.max(current - 1, 0),
      Home: 0,
      End: last,
      Escape: -1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    current = next;
    show(chart, current < 0 ? [] : [places[current]]);
  });
  canvas.addEventListener("blur", () => {
    const chart = charts.get(id);
    current = -1;
    if (chart) show(chart, []);
  });
}

/** What a chart shows, without its roof, in the order in which one reads: along the axis of the names or intensities. */
function placesOf(chart: Chart): { datasetIndex: number; index: number }[] {
  const along = chart.options.indexAxis === "y" ? "y" : "x";
  return chart.data.datasets
    .flatMap((dataset, datasetIndex) => {
      if (!chart.isDatasetVisible(datasetIndex) || dataset.label === "roofline") return [];
      return chart
        .getDatasetMeta(datasetIndex)
        .data.map((point, index) => ({ datasetIndex, index, position: point[along] }));
    })
    .sort((a, b) => a.position - b.position);
}

/** A click on a heading sorts by its column; another one, the other way round. What has no value stays last. */
function makeSortable(table: HTMLTableElement): void {
  const headings = [...table.querySelectorAll("th")];
  headings.forEach((heading, column) => {
    heading.querySelector("button")?.addEventListener("click", () => {
      const numeric = heading.classList.contains("number");
      // Of numbers one mostly looks for the largest, of names for the first.
      const before = heading.getAttribute("aria-sort");
      const order = before
        ? before === "ascending"
          ? "descending"
          : "ascending"
        : numeric
          ? "descending"
          : "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const keyOf = (row: HTMLTableRowElement) => row.cells[column].dataset.value ?? "";
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [left, right] = [keyOf(a), keyOf(b)];
        if (left === "" || right === "") return Number(left === "") - Number(right === "");
        return sign * (numeric ? Number(left) - Number(right) : left.localeCompare(right, "en", { numeric: true }));
      });
      table.tBodies[0].append(...rows);
    });
  });
}

/** Of a table, only the rows of the net that is chosen. */
function showRows(): void {
  for (const row of document.querySelectorAll<HTMLElement>("tr[data-nets]")) {
    const net = chosen("net");
    row.hidden = net !== "" && !row.dataset.nets?.split(" ").includes(net);
  }
}

const report: PageReport = JSON.parse(element("report").textContent ?? "");
const all = drawings(report);
const redraw = () => drawAll(all);
showRows();
redraw();
for (const id of Object.keys(all)) listenToKeys(id);
for (const table of document.querySelectorAll("table")) makeSortable(table);
for (const select of document.querySelectorAll("select")) {
  select.addEventListener("change", () => {
    showRows();
    redraw();
  });
}
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", redraw);
matchMedia("(max-width: 40rem)").addEventListener("change", redraw);
element("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
  root.dataset.theme = isDark ? "light" : "dark";
  redraw();
});
