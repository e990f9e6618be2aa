import type { Tensor } from "../../engine/ground/tensor.ts";
import { drawChart, smoothed } from "./chart.ts";
import { BUNDLED, PUBLISHED_DIGITS, sortFiles } from "./digit_files.ts";
import { acceptDrops, download, find, make, nextTask, onColorScheme } from "./dom.ts";
import { WEIGHTS } from "./flow.ts";
import { count, percent } from "./format.ts";
import type { Page, TrainedNet } from "./main.ts";
import { drawMaps, mapsOf } from "./maps.ts";
import { Session } from "./session.ts";
import { isLost, Progress, Status } from "./status.ts";
import { isShown, stateOf } from "./tabs.ts";
import type { DigitFiles, Mistake, Settings, Test, Told } from "./worker/training.ts";

const DEFAULTS: Settings = { lr: 0.002, batch: 16, optimizer: "adam", seed: 1 };

/** What the net was like from its first step on. */
interface Seen {
  losses: (readonly [step: number, loss: number])[];
  accuracies: (readonly [step: number, accuracy: number])[];
  tests: Test[];
  filters?: { readonly tensor: Tensor; readonly step: number };
  first?: Tensor;
}

const nothing = (): Seen => ({ losses: [], accuracies: [], tests: [] });

/** Trains LeNet-5 in a worker of its own; the page draws what it is told. */
export function start(page: Page): void {
  const status = new Status(find("train-status"), find("train-problem"));
  const progress = new Progress("train-progress", "train-bar", "train-cancel");
  const session = new Session("training");
  const form = find("train-settings", HTMLFormElement);
  const fields = {
    lr: find("train-lr", HTMLInputElement),
    batch: find("train-batch", HTMLSelectElement),
    optimizer: find("train-optimizer", HTMLSelectElement),
    seed: find("train-seed", HTMLInputElement),
  };
  const [runButton, stepButton, resetButton, drawButton, saveButton] = ["run", "step", "reset", "draw", "save"].map(
    (name) => find(`train-${name}`, HTMLButtonElement),
  );
  const picker = find("train-file", HTMLInputElement);
  const dropped: File[] = [];
  let seen = nothing();
  let hasDigits = false;
  let running: AbortController | undefined;
  let willDraw = false;

  for (const [name, field] of Object.entries(fields)) field.value = String(DEFAULTS[name as keyof Settings]);
  restore();
  runButton.addEventListener("click", () => (running ? pause() : run(Number.POSITIVE_INFINITY)));
  stepButton.addEventListener("click", () => run(1));
  resetButton.addEventListener("click", reset);
  drawButton.addEventListener("click", async () => {
    const net = await save();
    if (!net) return;
    page.trained(net);
    location.hash = "#digits";
  });
  saveButton.addEventListener("click", async () => {
    const net = await save();
    if (net) download("lenet5.safetensors", net.weights);
  });
  find("train-files").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => take([...(picker.files ?? [])]));
  find("train-download").addEventListener("click", () => read(PUBLISHED_DIGITS));
  acceptDrops(find("panel-train"), (file) => {
    // All that are dropped together.
    if (dropped.push(file) === 1) queueMicrotask(() => take(dropped.splice(0)));
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", change);
  addEventListener("hashchange", () => {
    if (isShown("train")) restore();
  });
  onColorScheme(() => {
    draw();
    showMistakes(seen.tests.at(-1));
  });
  new ResizeObserver(draw).observe(find("train-charts"));
  status.say("Press Start, or make one step at a time.");

  /** Takes what the address says; what it does not say, and what is no value, stays as it is. */
  function restore(): void {
    const given = stateOf(location.hash);
    for (const [name, field] of Object.entries(fields)) {
      const [wanted, before] = [given.get(name), field.value];
      if (wanted === null || field.disabled || wanted === before) continue;
      field.value = wanted;
      if (field.value === "" || !field.checkValidity()) field.value = before;
    }
    change();
  }

  /** Goes on with what was chosen, and says it in the address. */
  function change(): void {
    if (!form.reportValidity()) return;
    const state = new URLSearchParams(Object.entries(fields).map(([name, field]) => [name, field.value]));
    if (isShown("train")) history.replaceState(null, "", `#train?${state}`);
    if (running) run(Number.POSITIVE_INFINITY);
  }

  function settings(): Settings {
    const { lr, batch, optimizer, seed } = fields;
    return { lr: Number(lr.value), batch: Number(batch.value), optimizer: optimizer.value, seed: Number(seed.value) };
  }

  async function run(steps: number): Promise<void> {
    if (!form.reportValidity()) return;
    running?.abort();
    const controller = new AbortController();
    const { signal } = controller;
    running = controller;
    status.clear();
    status.say(seen.losses.length > 0 ? "Training …" : "Opening the GPU and compiling …");
    update();
    try {
      const gpu = await session.open();
      if (!hasDigits) await readDigits(BUNDLED, signal);
      await gpu.call("train", [settings(), steps], { signal, onProgress: hear });
      await draw();
      if (running === controller) status.say(`Paused after ${stepsText(done())}.`);
    } catch (error) {
      if (running === controller) fail(error);
    } finally {
      if (running === controller) {
        running = undefined;
        update();
      }
    }
  }

  function pause(): void {
    if (!running) return;
    running.abort();
    running = undefined;
    status.say(`Paused after ${stepsText(done())}.`);
    update();
  }

  const done = (): number => seen.losses.at(-1)?.[0] ?? 0;

  async function reset(): Promise<void> {
    pause();
    seen = nothing();
    showMistakes(undefined);
    status.clear();
    update();
    const drawn = draw();
    try {
      await (await session.open()).call("forget");
      await drawn;
      if (!running) status.say("All is forgotten: press Start.");
    } catch (error) {
      fail(error);
    }
  }

  /** The weights as they are; training pauses. */
  async function save(): Promise<TrainedNet | undefined> {
    pause();
    try {
      const { bytes, steps } = await (await session.open()).call("saveTraining");
      return { weights: new Blob([bytes]), name: `trained here in ${stepsText(steps)}` };
    } catch (error) {
      fail(error);
      return undefined;
    }
  }

  function fail(error: unknown): void {
    status.say("");
    status.fail(error);
    if (!isLost(error)) return;
    // The library has given it up, or its worker has ended, and the net with it.
    session.close();
    hasDigits = false;
    seen = nothing();
    draw();
    showMistakes(undefined);
    update();
    status.say("The training is lost: Start begins again.");
  }

  function take(files: readonly File[]): void {
    try {
      read(sortFiles(files));
    } catch (error) {
      status.fail(error);
    }
  }

  /** Takes other digits to train on. */
  async function read(files: DigitFiles): Promise<void> {
    pause();
    status.clear();
    try {
      await progress.during((signal) => readDigits(files, signal));
    } catch (error) {
      fail(error);
    }
  }

  async function readDigits(files: DigitFiles, signal: AbortSignal): Promise<void> {
    const onProgress = ({ loaded, total = 0 }: { loaded: number; total?: number }) => progress.update(loaded, total);
    const gpu = await session.open();
    const { train, test } = await gpu.call<{ train: number; test: number }>("digits", [files], { signal, onProgress });
    hasDigits = true;
    // Of other digits it made other mistakes.
    seen.tests = [];
    draw();
    showMistakes(undefined);
    find("train-data").textContent = `Training on ${count(train)} digits, tested on ${count(test)} others.`;
  }

  function hear(told: Told): void {
    if ("lost" in told) {
      const upTo = ([step]: readonly [number, number]) => step <= told.step;
      seen.losses = seen.losses.filter(upTo);
      seen.accuracies = seen.accuracies.filter(upTo);
      seen.tests = seen.tests.filter(({ step }) => step <= told.step);
      status.say(`The GPU device was lost and opened again; training goes on from step ${told.step}.`);
    } else if ("test" in told) {
      seen.tests.push(told.test);
      showMistakes(told.test);
      if (told.test.accuracy >= 0.95 && performance.getEntriesByName("95 %").length === 0) performance.mark("95 %");
    } else if ("filters" in told) {
      seen.filters = { tensor: told.filters, step: told.step };
      seen.first ??= told.filters;
    } else {
      const { step, loss, accuracy } = told.result;
      seen.losses.push([step, loss]);
      seen.accuracies.push([step, accuracy]);
      if (seen.losses.length === 1) {
        status.say("Training …");
        update();
      }
    }
    if (willDraw) return;
    willDraw = true;
    requestAnimationFrame(() => {
      willDraw = false;
      draw();
    });
  }

  function update(): void {
    const hasBegun = seen.losses.length > 0;
    runButton.textContent = running ? "Pause" : hasBegun ? "Go on" : "Start";
    stepButton.disabled = running !== undefined;
    for (const button of [resetButton, drawButton, saveButton]) button.disabled = !hasBegun;
    // They are those of a whole training.
    fields.optimizer.disabled = fields.seed.disabled = hasBegun;
  }

  /** In several tasks: what is said to be done is said after them. */
  async function draw(): Promise<void> {
    // It is drawn when it is shown.
    if (find("train-charts").clientWidth === 0) return;
    const { losses, accuracies, tests } = seen;
    drawCurves(
      "loss",
      losses,
      tests,
      ({ loss }) => loss,
      { top: 2.4, tick: (value) => count(value) },
      (v) => v.toFixed(2),
    );
    await nextTask();
    drawCurves("accuracy", accuracies, tests, ({ accuracy }) => accuracy, { top: 1, tick: percent }, percent);
    await nextTask();
    const { filters, first } = seen;
    drawFilters("train-filters", filters?.tensor);
    drawFilters("first-filters", first);
    find("filters-text").textContent = filters ? `after step ${count(filters.step)}` : "";
  }
}

const stepsText = (steps: number): string => `${count(steps)} ${steps === 1 ? "step" : "steps"}`;

function drawCurves(
  name: string,
  training: readonly (readonly [number, number])[],
  tests: readonly Test[],
  tested: (test: Test) => number,
  axis: Parameters<typeof drawChart>[2],
  format: (value: number) => string,
): void {
  const points = smoothed(training);
  const others = tests.map((test) => [test.step, tested(test)] as const);
  const svg = document.getElementById(`${name}-chart`) as unknown as SVGSVGElement;
  const [now, then] = [points.at(-1), others.at(-1)];
  const text = now ? `${format(now[1])}${then ? `, ${format(then[1])} on unseen digits` : ""}` : "";
  find(`${name}-text`).textContent = text;
  svg.ariaLabel = now ? `${text}, after step ${now[0]}` : "Nothing yet";
  const curves = [
    { kind: "training", points },
    { kind: "tested", points: others, dots: true },
  ];
  drawChart(svg, curves, axis);
}

function drawFilters(id: string, tensor: Tensor | undefined): void {
  const canvas = find(id, HTMLCanvasElement);
  const tile = Math.min(70, (canvas.parentElement as HTMLElement).clientWidth / 6 - 4);
  const maps = tensor ? mapsOf(tensor) : { data: new Float32Array(150), count: 6, height: 5, width: 5 };
  drawMaps(canvas, { ...maps, count: 6 }, { tile, columns: 6, ...WEIGHTS });
}

/** The digits that were read wrongly in a test; nothing before the first one. */
function showMistakes(test: Test | undefined): void {
  const { step = 0, mistakes = [], count: tested = 0, accuracy = 0 } = test ?? {};
  const wrong = Math.round((1 - accuracy) * tested);
  find("mistakes-text").textContent = test
    ? `${wrong} of ${count(tested)} after step ${count(step)}`
    : "after the first 40 steps";
  find("mistakes").replaceChildren(...mistakes.map(mistakeItem));
  for (const [i, { image }] of mistakes.entries()) {
    const canvas = find("mistakes").children[i].firstElementChild as HTMLCanvasElement;
    drawMaps(canvas, { data: image, count: 1, height: 32, width: 32 }, { tile: 64, columns: 1, range: 2.8 });
  }
}

const mistakeItem = ({ label, guess, probability }: Mistake): HTMLElement =>
  make(
    "li",
    {},
    make("canvas", { role: "img", "aria-label": `A ${label}` }),
    make("span", {}, `${label} read as ${guess}`),
    make("span", { class: "quiet" }, percent(probability)),
  );
