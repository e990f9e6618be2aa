import { mostProbable } from "../../engine/ground/predictions.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import { lenet5 } from "../../nets/lenet.ts";
import type { WorkerNet } from "../../worker.ts";
import { showBars } from "./bars.ts";
import { find, make, onColorScheme } from "./dom.ts";
import type { Page } from "./main.ts";
import { drawMaps, type Maps, mapsOf } from "./maps.ts";
import { Pad } from "./pad.ts";
import { Status } from "./status.ts";

interface Stage {
  readonly layer: string;
  readonly title: string;
  readonly text: string;
  readonly tile: number;
  readonly columns: number;
}

const STAGES: readonly Stage[] = [
  { layer: "input", title: "Input", text: "centred, 32 × 32", tile: 128, columns: 1 },
  { layer: "tanh1", title: "Convolution 5 × 5", text: "6 maps, 28 × 28", tile: 56, columns: 3 },
  { layer: "pool1", title: "Average pooling", text: "6 maps, 14 × 14", tile: 56, columns: 3 },
  { layer: "tanh2", title: "Convolution 5 × 5", text: "16 maps, 10 × 10", tile: 30, columns: 4 },
  { layer: "pool2", title: "Average pooling", text: "16 maps, 5 × 5", tile: 30, columns: 4 },
  { layer: "tanh3", title: "Convolution 5 × 5", text: "120 values", tile: 10, columns: 10 },
  { layer: "tanh4", title: "Linear", text: "84 values", tile: 10, columns: 7 },
];

const LAYERS = STAGES.slice(1).map(({ layer }) => layer);

/** Width of all stages side by side, in CSS pixels; they are drawn larger where there is room. */
const WIDTH = 1180;

const enlarged = (tile: number): number => tile * Math.min(2.5, Math.max(1, find("stages").clientWidth / WIDTH));

/** The largest value of a normalized digit, and about the largest of a tanh. */
const RANGES: Readonly<Record<string, number>> = { input: 2.8 };

export function start(page: Page): void {
  const status = new Status(find("digit-status"), find("digits-problem"));
  const canvases = new Map(STAGES.map((stage) => [stage.layer, addStage(stage)]));
  const shown = new Map<string, Tensor>();
  let net: Promise<WorkerNet> | undefined;
  let isRunning = false;
  let isStale = false;

  const pad = new Pad(find("pad", HTMLCanvasElement), answer);
  addSamples(pad, status);
  find("clear").addEventListener("click", () => pad.clear());
  showBars(find("digit-bars"), barsOf(new Float32Array(10)));
  drawStages();
  onColorScheme(() => {
    pad.redraw();
    drawStages();
  });
  addEventListener("resize", drawStages);
  page.onReopen(load);
  load();

  async function load(): Promise<void> {
    try {
      net = page.session.open().then((gpu) => gpu.loadNet("lenet5", { weights: "lenet5.safetensors" }));
      await net;
      status.clear();
      if (pad.isEmpty) status.say("Draw a digit.");
      else answer();
    } catch (error) {
      status.say("");
      status.fail(error);
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

  async function look(net: WorkerNet): Promise<void> {
    const input = await lenet5.preprocess(pad.picture(), [1, 32, 32]);
    const begun = performance.now();
    const { probabilities, features } = await net.run(input, { features: LAYERS });
    const milliseconds = performance.now() - begun;
    const [{ index: best, probability }] = mostProbable("LeNet-5", probabilities.data, [], 1);
    const share = `${(100 * probability).toFixed(0)} %`;
    shown.set("input", { shape: [1, 1, 32, 32], data: input });
    for (const layer of LAYERS) shown.set(layer, features[layer]);
    status.clear();
    find("digit").textContent = String(best);
    status.say(`${best}: ${share} sure, in ${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`);
    showBars(find("digit-bars"), barsOf(probabilities.data), best);
    drawStages();
    if (performance.getEntriesByName("first digit").length === 0) performance.mark("first digit");
  }

  function showNothing(): void {
    shown.clear();
    find("digit").textContent = "\u00a0";
    status.say("Draw a digit.");
    showBars(find("digit-bars"), barsOf(new Float32Array(10)));
    drawStages();
  }

  function drawStages(): void {
    for (const stage of STAGES) {
      const { layer, tile, columns } = stage;
      const [canvas, tensor] = [canvases.get(layer), shown.get(layer)];
      const maps = tensor ? mapsOf(tensor) : emptyMaps(stage);
      if (canvas) drawMaps(canvas, maps, { tile: enlarged(tile), columns, range: RANGES[layer] ?? 1 });
    }
  }
}

const barsOf = (probabilities: Float32Array) =>
  Array.from(probabilities, (share, digit) => ({ label: String(digit), share }));

function addStage({ layer, title, text }: Stage): HTMLCanvasElement {
  const canvas = make("canvas", { role: "img", "aria-label": `${title}: ${text}` });
  find("stages").append(
    make("figure", { class: `stage ${layer}` }, canvas, make("figcaption", {}, make("strong", {}, title), ` ${text}`)),
  );
  return canvas;
}

/** A grid of a stage's size with nothing in it, so that nothing moves with the first answer, nor when it is cleared. */
function emptyMaps({ layer, text }: Stage): Maps {
  const count = layer === "input" ? 1 : Number.parseInt(text, 10);
  const side = Number.parseInt(/× (\d+)/.exec(text)?.[1] ?? "1", 10);
  return { data: new Float32Array(count * side * side), count, height: side, width: side };
}

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
