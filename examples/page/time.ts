import { encodeJson, type Figures } from "../../engine/tuning/figures.ts";
import { families } from "../../nets/families.ts";
import { Beside, MEASURES, type Measure } from "./beside.ts";
import { acceptDrops, download, find, make } from "./dom.ts";
import { count, duration, percent, scientific } from "./format.ts";
import type { Page } from "./main.ts";
import { RooflinePlot, type Spot } from "./roofline_plot.ts";
import { Session } from "./session.ts";
import { Progress, Status } from "./status.ts";
import { isShown, stateOf } from "./tabs.ts";
import { COLUMNS, type Column, type Row, TimeTable } from "./time_table.ts";
import type { Heard, NetTiming, Preview } from "./worker/timing.ts";

/** Where figures can be sent, as the end of a sentence: see build_page.ts. */
declare const ISSUE_PLACE: string;

/** Measures nets, each time on a device that is opened for it: its first run is then a first run. */
export function start(page: Page): void {
  const status = new Status(find("time-status"), find("time-problem"));
  const progress = new Progress("time-progress", "time-bar", "cancel-time");
  const choice = find("time-net", HTMLSelectElement);
  const by = find("time-by", HTMLSelectElement);
  const measuring = find("measure", HTMLButtonElement);
  const exporting = find("export", HTMLButtonElement);
  const saving = find("save-figures", HTMLButtonElement);
  const removing = find("time-remove", HTMLButtonElement);
  const picker = find("figures-file", HTMLInputElement);
  const table = new TimeTable(keepState, (index) => plot.point(index));
  const plot = new RooflinePlot(
    (index) => table.point(index),
    (index) => table.open(index),
  );
  const beside = new Beside((net) => net in families && choose(net), showBeside);
  /** Of all nets that were measured here, each as it was last. */
  const timings = new Map<string, NetTiming>();
  /** The nets that stand side by side, measured or not. */
  let nets = new Set<string>();
  let wasHidden = false;
  let isBusy = false;

  for (const name of Object.keys(families)) choice.append(make("option", {}, name));
  choice.value = "resnet18";
  choice.addEventListener("change", () => choose(choice.value));
  by.addEventListener("change", () => {
    showBeside();
    keepState();
  });
  measuring.addEventListener("click", measureAll);
  exporting.addEventListener("click", () => {
    const timing = timings.get(choice.value);
    if (timing) download(`${timing.net}-times.json`, json(timing));
  });
  saving.addEventListener("click", () => {
    const all = [...timings.values()];
    const last = all.at(-1);
    if (!last) return;
    const file: Figures = { ...last.source, nets: all.map(({ figures }) => figures), failed: [] };
    download("shadenet-figures.json", json(file));
  });
  removing.addEventListener("click", remove);
  find("load-figures").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    for (const file of picker.files ?? []) take(file);
    picker.value = "";
  });
  acceptDrops(find("panel-time"), take);
  find("send-figures").textContent = `To have yours compared by others, attach the file to ${ISSUE_PLACE}.`;
  document.addEventListener("visibilitychange", () => {
    wasHidden ||= document.hidden;
  });
  addEventListener("hashchange", () => {
    if (!isShown("time")) return;
    if (location.hash.includes("?")) restore();
    else keepState();
  });
  page.onReopen(() => {
    if (!isBusy) show();
  });
  restore();

  /** Takes what the address says, as far as it makes sense. */
  function restore(): void {
    const given = stateOf(location.hash);
    const known = (given.get("nets") ?? "").split(",").filter((net) => net in families);
    if (known.length > 0 && !isBusy) nets = new Set([...timings.keys(), ...known]);
    const [, sign, column] = /^(-?)(\w+)$/.exec(given.get("sort") ?? "") ?? [];
    if (COLUMNS.includes(column as Column)) table.order = { column: column as Column, descending: sign === "-" };
    if (MEASURES.includes(given.get("by") as Measure)) by.value = given.get("by") as Measure;
    const net = given.get("net") ?? "";
    choose(net in families ? net : choice.value);
  }

  function keepState(): void {
    if (!isShown("time")) return;
    const { column, descending } = table.order;
    const state = new URLSearchParams({ net: choice.value });
    if (nets.size > 0) state.set("nets", [...nets].join());
    if (column !== "order" || descending) state.set("sort", `${descending ? "-" : ""}${column}`);
    if (by.value !== MEASURES[0]) state.set("by", by.value);
    history.replaceState(null, "", `#time?${state.toString().replaceAll("%2C", ",")}`);
  }

  function choose(net: string): void {
    if (isBusy) return;
    choice.value = net;
    status.clear();
    status.say("");
    keepState();
    show();
  }

  /** The nets side by side: those of the address, those that were measured, and the one that is shown. */
  function shown(): string[] {
    return [...new Set([...nets, choice.value])];
  }

  /** Takes the net that is shown from those beside it. */
  function remove(): void {
    const [next] = shown().filter((net) => net !== choice.value);
    nets.delete(choice.value);
    timings.delete(choice.value);
    choose(next);
    (removing.hidden ? measuring : removing).focus();
  }

  /** What Measure measures: the chosen net, and those beside it that have not been. */
  function pending(): string[] {
    return [...[...nets].filter((net) => !timings.has(net) && net !== choice.value), choice.value];
  }

  /** Shows the chosen net, measured or not. */
  async function show(): Promise<void> {
    const net = choice.value;
    const timing = timings.get(net);
    showBeside();
    exporting.disabled = !timing;
    saving.disabled = timings.size === 0;
    if (timing) {
      showTiming(timing);
      if (!isSaid()) status.say("Measured here; Measure does so again.");
      return;
    }
    clear(net);
    try {
      const preview = await (await page.session.open()).call<Preview>("preview", [net]);
      if (choice.value === net && !timings.has(net) && !isBusy) showPreview(preview);
    } catch {
      // That there is no GPU the page says; a measurement says all else.
    }
  }

  function showBeside(): void {
    const own = shown().map((net) => ({ net, times: timesOf(timings.get(net)) }));
    beside.show(own, choice.value, by.value as Measure);
    removing.hidden = own.length < 2;
    removing.textContent = `Remove ${choice.value}`;
    const names = pending();
    measuring.textContent = names.length === 1 ? "Measure" : `Measure ${names.length} nets`;
  }

  /** Nothing of another net stays. */
  function clear(net: string): void {
    showTotals();
    showFacts([]);
    table.show(net, []);
    plot.show([], undefined, "");
  }

  function showPreview({ net, layers, seconds, adapter }: Preview): void {
    const flops = layers.reduce((sum, layer) => sum + layer.flops, 0);
    showTotals();
    showFacts([
      ["Net", `${net}: ${layers.length} layers, ${count(flops / 1e9)} billion operations per image`],
      ["Adapter", adapterText(adapter)],
    ]);
    table.show(net, layers);
    plot.show(
      spotsOf(layers),
      undefined,
      "Not measured yet: every layer will be a disc under the two roofs of this GPU, as large as its share of the time.",
    );
    status.say(`Takes about ${roundly(seconds)}, with random weights: they take as long as any others.`);
  }

  function showTiming(timing: NetTiming): void {
    const { net, adapter, clock, loading, cold, total, figures, layers, roofline } = timing;
    showTotals({
      warm: duration(total.milliseconds),
      cold: duration(cold),
      answer: duration(figures.medianMs),
      share: percent(total.rooflineShare ?? 0),
    });
    showFacts([
      ["Net", `${net}, loaded and compiled in ${duration(loading)}`],
      ["Adapter", adapterText(adapter)],
      [
        "Agreement",
        figures.agreement > 0
          ? `the logits differ from the plain kernels' by ${scientific(figures.agreement)} of their rms at most`
          : "the logits are those of the plain kernels",
      ],
      [
        "Clock",
        clock === "gpu"
          ? "timestamps of the GPU; short layers are run several times in a row"
          : "the page's own: this adapter has no timestamps",
      ],
    ]);
    table.show(net, layers, timing);
    plot.show(spotsOf(layers), roofline, "Point at a layer. The larger its disc, the more of the time it takes.");
  }

  /** Measures what is wanted, one net after the other. */
  async function measureAll(): Promise<void> {
    const wanted = pending();
    wasHidden = document.hidden;
    status.clear();
    setBusy(true);
    try {
      await progress.during(async (signal) => {
        for (const net of wanted) {
          choice.value = net;
          await measure(net, signal);
        }
      });
      const hidden = "The page was hidden meanwhile: browsers may have slowed it, measure again.";
      const text = wanted.length > 1 ? `${wanted.join(", ")} are measured.` : `${wanted[0]} is measured.`;
      status.say(`${text} ${wasHidden ? hidden : ""}`);
    } catch (error) {
      status.say("");
      status.fail(error);
    } finally {
      setBusy(false);
      keepState();
      show();
    }
  }

  function setBusy(busy: boolean): void {
    isBusy = busy;
    choice.disabled = measuring.disabled = removing.disabled = busy;
  }

  async function measure(net: string, signal: AbortSignal): Promise<void> {
    const session = new Session("measurement");
    timings.delete(net);
    showBeside();
    clear(net);
    status.say(`Measuring ${net} …`);
    const onProgress = ({ phase, loaded, total, file, cold }: Heard) => {
      progress.update(loaded, total);
      status.say(phase === "load" ? `Loading ${net} …` : `Measuring ${net} …`);
      if (cold !== undefined) table.hear(file, cold);
    };
    try {
      const gpu = await session.open();
      const preview = await gpu.call<Preview>("preview", [net], { signal });
      showPreview(preview);
      status.say(`Loading ${net} …`);
      const timing = await gpu.call<NetTiming>("time", [net], { signal, onProgress });
      timings.set(net, timing);
      nets.add(net);
    } finally {
      session.close();
    }
  }

  async function take(file: File): Promise<void> {
    try {
      status.clear();
      await beside.take(file);
    } catch (error) {
      status.fail(error);
    }
  }
}

const adapterText = ({ name, software }: NetTiming["adapter"]): string => `${name}${software ? " (software)" : ""}`;

const isSaid = (): boolean => find("time-status").textContent !== "";

/** What nets are compared by. */
const timesOf = (timing: NetTiming | undefined) =>
  timing && { warm: timing.figures.medianMs, first: timing.loading + timing.cold };

/** "5 s", "20 s", "2 min": no more is known. */
function roundly(seconds: number): string {
  const steps = [2, 5, 10, 20, 30, 60, 120, 300, 600];
  const step = steps.find((each) => seconds <= 1.2 * each) ?? 1200;
  return step < 60 ? `${step} s` : `${step / 60} min`;
}

/** The figures that stand out; dashes before there are any. */
function showTotals(texts: Readonly<Partial<Record<"warm" | "cold" | "answer" | "share", string>>> = {}): void {
  for (const name of ["warm", "cold", "answer", "share"] as const)
    find(`total-${name}`).textContent = texts[name] ?? "–";
}

function showFacts(facts: readonly (readonly [string, string])[]): void {
  find("time-facts").replaceChildren(
    ...facts.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))),
  );
}

function spotsOf(layers: readonly Row[]): Spot[] {
  const total = layers.reduce((sum, { milliseconds = 0 }) => sum + milliseconds, 0);
  return layers.map(({ layer, variant, flops, bytes, milliseconds = 0, flopsRate, rooflineShare = 0 }) => {
    const intensity = flops / bytes;
    const share = milliseconds / total || 0;
    const measured = `${duration(milliseconds)}, ${percent(share)} of the time; ${count((flopsRate ?? 0) / 1e9)} GFLOP/s, ${percent(rooflineShare)} of its roof`;
    const text = `${variant}; ${flopsRate ? `${measured}; ` : ""}${count(intensity)} operations per byte`;
    return { intensity, rate: flopsRate, share, text: `${layer}: ${text}` };
  });
}

const json = (value: NetTiming | Figures): Blob => new Blob([encodeJson(value)], { type: "application/json" });
