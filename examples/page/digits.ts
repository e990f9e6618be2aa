import { mostProbable } from "../../engine/ground/predictions.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { lenet5 } from "../../nets/lenet.ts";
import type { WorkerNet } from "../../worker.ts";
import { showBars } from "./bars.ts";
import { find, make, nextTask, onColorScheme } from "./dom.ts";
import { Flow } from "./flow.ts";
import { explain, STAGES, type Tensors, type Unit } from "./lenet_stages.ts";
import type { Page } from "./main.ts";
import { Pad } from "./pad.ts";
import { Status } from "./status.ts";
import { UnitView } from "./unit_view.ts";

const LAYERS = Object.keys(STAGES).filter((name) => name !== "input");

/** What is explained until something is pointed at. */
const FIRST: Unit = { stage: "tanh1", map: 0, y: 14, x: 14 };

export function start(page: Page): void {
  const status = new Status(find("digit-status"), find("digits-problem"));
  const bars = find("digit-bars");
  const flow = new Flow(find("stages"), bars, point);
  const unitView = new UnitView(find("unit"));
  const choice = find("digit-net", HTMLSelectElement);
  /** What the net computed for what is drawn, and its weights. */
  const computed = new Map<string, Tensor>();
  let parameters: ReadonlyMap<string, Tensor> = new Map();
  let pinned = FIRST;
  let hovered: Unit | undefined;
  let best: number | undefined;
  let trained: Blob | undefined;
  let net: Promise<WorkerNet> | undefined;
  let isRunning = false;
  let isStale = false;
  let isPointing = false;
  let isLaidOut = false;

  const pad = new Pad(find("pad", HTMLCanvasElement), answer);
  addSamples(pad, status);
  find("clear").addEventListener("click", () => pad.clear());
  bars.addEventListener("pointerover", ({ target }) => hoverClass(target));
  bars.addEventListener("pointerleave", () => point(undefined, false));
  onColorScheme(() => {
    pad.redraw();
    draw();
  });
  new ResizeObserver(async () => {
    if (!isLaidOut) {
      await nextTask();
      await flow.drawInTurn(tensors(), pinned);
    }
    isLaidOut = true;
    draw();
  }).observe(find("stages"));
  choice.addEventListener("change", load);
  page.onTrained(({ weights, name }) => {
    trained = weights;
    choice.replaceChildren(make("option", {}, "shipped with the page"), make("option", {}, name));
    choice.selectedIndex = 1;
    find("digit-net-row").hidden = false;
    load();
  });
  page.onReopen(load);
  load();

  async function load(): Promise<void> {
    const weights = choice.selectedIndex === 1 && trained ? trained : "lenet5.safetensors";
    const before = net;
    // What another net has computed, or is made of, is not this one's.
    parameters = new Map();
    showNothing("Loading LeNet-5 …");
    const gpu = page.session.open();
    const loading = gpu.then((gpu) => gpu.loadNet("lenet5", { weights }));
    const reading = gpu.then((gpu) => gpu.call<typeof parameters>("parameters", ["lenet5", weights]));
    net = loading;
    try {
      const [, read] = await Promise.all([loading, reading]);
      if (net !== loading) return;
      parameters = read;
      status.clear();
      if (pad.isEmpty) showNothing();
      else answer();
    } catch (error) {
      if (net !== loading) return;
      showNothing("");
      status.fail(error);
    } finally {
      // Whatever still asks it is answered first.
      before?.then((unused) => unused.dispose()).catch(() => {});
    }
  }

  /** Answers for what is on the pad; what is drawn meanwhile gets its answer after that. */
  async function answer(): Promise<void> {
    isStale = true;
    if (isRunning || !net) return;
    isRunning = true;
    try {
      while (isStale) {
        isStale = false;
        if (pad.isEmpty) showNothing();
        else await look(await net);
      }
    } catch (error) {
      // What was answered before is not this drawing's answer.
      showNothing();
      status.say("");
      status.fail(error);
    } finally {
      isRunning = false;
    }
  }

  async function look(by: WorkerNet): Promise<void> {
    const input = await lenet5.preprocess(pad.picture(), [1, 32, 32]);
    const begun = performance.now();
    const { probabilities, features } = await by.run(input, { features: LAYERS });
    const milliseconds = performance.now() - begun;
    // Another net was chosen meanwhile: its answer is the one that is wanted.
    if ((await net) !== by) {
      isStale = true;
      return;
    }
    const [{ index, probability }] = mostProbable("LeNet-5", probabilities.data, [], 1);
    computed.set("input", { shape: [1, 1, 32, 32], data: input });
    computed.set("probabilities", probabilities);
    for (const layer of LAYERS) computed.set(layer, features[layer]);
    best = index;
    status.clear();
    find("digit").textContent = String(best);
    status.say(
      `${best}: ${(100 * probability).toFixed(0)} % sure, in ${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`,
    );
    draw();
    if (performance.getEntriesByName("first digit").length === 0) performance.mark("first digit");
  }

  function showNothing(text = "Draw a digit."): void {
    computed.clear();
    best = undefined;
    find("digit").textContent = "\u00a0";
    status.say(text);
    draw();
  }

  /** Draws all that is seen of the net, or what another unit changes of it. */
  function draw(isSame = false): void {
    if (!isLaidOut) return;
    const shares = computed.get("probabilities")?.data ?? new Float32Array(10);
    const rows = Array.from(shares, (share, digit) => ({ label: String(digit), share }));
    const toPin = (digit: number) => point({ stage: "linear2", map: digit, y: 0, x: 0 }, true);
    showBars(bars, rows, best, toPin, pinned.stage === "linear2" ? pinned.map : -1);
    flow.draw(tensors(), hovered ?? pinned, isSame);
    explainUnit();
  }

  function tensors(): Tensors {
    return new Map([...parameters, ...computed]);
  }

  function point(unit: Unit | undefined, stays: boolean): void {
    if (unit && !stays && hovered && isSameUnit(unit, hovered)) return;
    hovered = stays ? undefined : unit;
    if (unit && stays) pinned = unit;
    if (isPointing) return;
    isPointing = true;
    requestAnimationFrame(() => {
      isPointing = false;
      draw(true);
    });
  }

  function hoverClass(target: EventTarget | null): void {
    const row = target instanceof Element ? target.closest("li") : null;
    if (row) point({ stage: "linear2", map: [...bars.children].indexOf(row), y: 0, x: 0 }, false);
  }

  function explainUnit(): void {
    const unit = hovered ?? pinned;
    const isComplete = computed.size > 0 && parameters.size > 0;
    const explanation = isComplete ? explain(tensors(), unit) : undefined;
    flow.light(unit, explanation);
    if (isComplete) unitView.show(tensors(), unit, explanation);
    else
      unitView.clear(
        "Draw a digit; then point at any square to see what it is computed from, by mouse, touch or keys.",
      );
  }
}

const isSameUnit = (a: Unit, b: Unit): boolean => a.stage === b.stage && a.map === b.map && a.y === b.y && a.x === b.x;

/** A button for each of the pictures in examples/digits/. */
function addSamples(pad: Pad, status: Status): void {
  for (let digit = 0; digit < 10; digit++) {
    const image = make("img", { src: `digits/digit-${digit}-a.png`, alt: String(digit), width: "40", height: "40" });
    const button = make("button", { type: "button", title: `A ${digit} of MNIST's` }, image);
    button.addEventListener("click", async () => {
      try {
        await image.decode();
        pad.show(image);
      } catch (cause) {
        status.fail(new Error(`the picture of a ${digit} cannot be loaded: ${(cause as Error).message}`, { cause }));
      }
    });
    find("samples").append(button);
  }
}
