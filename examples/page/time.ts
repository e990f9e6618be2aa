import { encodeJson, type Figures, type NetFigures } from "../../engine/tuning/figures.ts";
import { families } from "../../nets/families.ts";
import { download, find, make } from "./dom.ts";
import { count, duration, percent, scientific } from "./format.ts";
import { Session } from "./session.ts";
import { Progress, Status } from "./status.ts";
import type { LayerTime, NetTiming } from "./worker/timing.ts";

/** Where figures can be sent, as the end of a sentence: see build_page.ts. */
declare const ISSUE_PLACE: string;

/** Measures nets, each time on a device that is opened for it: its first run is then a first run. */
export function start(): void {
  const status = new Status(find("time-status"), find("time-problem"));
  const progress = new Progress("time-progress", "time-bar", "cancel-time");
  const choice = find("time-net", HTMLSelectElement);
  const exporting = find("export", HTMLButtonElement);
  const saving = find("save-figures", HTMLButtonElement);
  /** Of all nets that were measured here, each as it was last. */
  const figures = new Map<string, NetFigures>();
  let timing: NetTiming | undefined;
  let wasHidden = false;

  for (const name of Object.keys(families)) choice.append(make("option", {}, name));
  choice.value = "resnet18";
  find("measure").addEventListener("click", measure);
  exporting.addEventListener("click", () => timing && download(`${timing.net}-times.json`, json(timing)));
  saving.addEventListener("click", () => {
    if (!timing) return;
    const file: Figures = { ...timing.source, nets: [...figures.values()], failed: [] };
    download("shadenet-figures.json", json(file));
  });
  find("send-figures").textContent =
    `Figures that you save can be compared with others': attach the file to ${ISSUE_PLACE}.`;
  document.addEventListener("visibilitychange", () => {
    wasHidden ||= document.hidden;
  });

  async function measure(): Promise<void> {
    const net = choice.value;
    const session = new Session("measurement");
    wasHidden = document.hidden;
    status.clear();
    status.say(`Measuring ${net} …`);
    try {
      timing = await progress.during(async (signal) => {
        const gpu = await session.open();
        const onProgress = ({ phase, loaded, total }: { phase: string; loaded: number; total: number }) => {
          progress.update(loaded, total);
          status.say(phase === "load" ? `Loading ${net} …` : `Measuring ${net} …`);
        };
        return gpu.call<NetTiming>("time", [net], { signal, onProgress });
      });
      show(timing);
      figures.set(timing.net, timing.figures);
      exporting.disabled = saving.disabled = false;
      const hidden = "The page was hidden meanwhile: browsers may have slowed it, measure again.";
      status.say(`${net} is measured. ${wasHidden ? hidden : ""}`);
    } catch (error) {
      status.say("");
      status.fail(error);
    } finally {
      session.close();
    }
  }
}

function show(timing: NetTiming): void {
  const { net, adapter, clock, roofline, loading, cold, warm, figures, layers } = timing;
  const facts: [string, string][] = [
    ["Net", net],
    ["Adapter", `${adapter.name}${adapter.software ? " (software)" : ""}`],
    ["At most", `${count(roofline.flops / 1e9)} GFLOP/s and ${count(roofline.bytes / 1e9)} GB/s, as measured`],
    ["Loaded and compiled in", duration(loading)],
    ["First run", `${duration(cold)} on the GPU`],
    ["Later runs", `${duration(warm)} on the GPU, ${duration(figures.medianMs)} from input to logits`],
    [
      "Agreement",
      figures.agreement > 0
        ? `the logits differ from the plain kernels' by ${scientific(figures.agreement)} of their rms at most`
        : "the logits are those of the plain kernels",
    ],
    [
      "Clock",
      clock === "gpu"
        ? "timestamps of the GPU; layers too short for it are run several times in a row"
        : "the page's own: this adapter has no timestamps",
    ],
  ];
  const most = {
    milliseconds: Math.max(...layers.map(({ milliseconds, cold }) => Math.max(milliseconds, cold))),
    rate: Math.max(...layers.map(({ flopsRate = 0 }) => flopsRate)),
  };
  find("time-result").replaceChildren(
    make(
      "dl",
      { class: "facts" },
      ...facts.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))),
    ),
    make(
      "table",
      { class: "times" },
      make("caption", { class: "spoken" }, `Layers of ${net} in the order they run`),
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("th", { scope: "col" }, "Layer"),
          make("th", { scope: "col" }, swatch("fill"), " Later runs · ", swatch("outline"), " first run"),
          make("th", { scope: "col" }, "GFLOP/s"),
          make("th", { scope: "col" }, "Share of the roofline"),
        ),
      ),
      make("tbody", {}, ...layers.map((layer) => row(layer, most))),
    ),
  );
}

function row(layer: LayerTime, most: { readonly milliseconds: number; readonly rate: number }): HTMLElement {
  const { milliseconds, cold, flopsRate = 0, rooflineShare = 0 } = layer;
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, about(layer)),
    make(
      "td",
      { class: "wide" },
      track("fill", milliseconds / most.milliseconds),
      track("outline", cold / most.milliseconds),
      make(
        "span",
        { class: "figure" },
        duration(milliseconds),
        make("span", { class: "quiet" }, ` · ${duration(cold)}`),
      ),
    ),
    make(
      "td",
      {},
      track("fill", flopsRate / (most.rate || 1)),
      make("span", { class: "figure" }, flopsRate > 0 ? count(flopsRate / 1e9) : "–"),
    ),
    make(
      "td",
      {},
      track("fill second", Math.min(1, rooflineShare)),
      make("span", { class: "figure" }, percent(rooflineShare)),
    ),
  );
}

/** Which variant a layer runs as; opened, why, and by which kernels. */
function about({ layer, variant, why, kernels }: LayerTime): HTMLElement {
  const list = kernels.map(({ name, grid, milliseconds }) =>
    make("li", {}, `${name}, ${grid.join(" × ")} workgroups, ${duration(milliseconds)}`),
  );
  return make(
    "details",
    {},
    make("summary", {}, layer, make("span", { class: "quiet" }, ` ${variant}`)),
    make("p", {}, why),
    make("ul", {}, ...list),
  );
}

const swatch = (kind: string): HTMLElement => make("span", { class: `swatch ${kind}`, "aria-hidden": "true" });

function track(kind: string, share: number): HTMLElement {
  const fill = make("span", { class: kind });
  fill.style.width = `${100 * share}%`;
  return make("span", { class: "track", "aria-hidden": "true" }, fill);
}

const json = (value: NetTiming | Figures): Blob => new Blob([encodeJson(value)], { type: "application/json" });
