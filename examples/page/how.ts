import { specialize } from "../../engine/graph/wgsl.ts";
import { formatShape } from "../../engine/ground/tensor.ts";
import type { WorkerGpu } from "../../worker.ts";
import { find, IN_MEMORY, make, nextFrame, onColorScheme } from "./dom.ts";
import { count, duration, scientific, sizes } from "./format.ts";
import { drawMaps, mapsOf, robustRange } from "./maps.ts";
import { testPicture } from "./photo.ts";
import { Session } from "./session.ts";
import { isLost, Status } from "./status.ts";
import { stateOf } from "./tabs.ts";
import { tokenize } from "./wgsl_tokens.ts";
import type { Compiling, Lowered, StepFacts } from "./worker/compiling.ts";

/** Of the image that is followed, in pixels: see worker/compiling.ts. */
const SIDE = 64;

const status = new Status(find("how-status"), find("how-problem"));
const session = new Session("how");
const again = find("how-again", HTMLButtonElement);
const image = drawImage();
let compiling: Compiling | undefined;
/** What is followed: an operator, and one of its steps. */
let layer = stateOf(location.hash).get("layer") ?? "layer1.0.conv2";
let step = 0;

// Who has no pointer scrolls them by the keyboard.
for (const scroller of document.querySelectorAll<HTMLElement>(".wide, .code, .commands")) scroller.tabIndex = 0;
again.addEventListener("click", run);
onColorScheme(() => compiling && drawTensors(compiling));
addEventListener("hashchange", () => {
  const wanted = stateOf(location.hash).get("layer");
  if (wanted && compiling) follow(compiling, wanted);
});
if (navigator.gpu) run();
else fail("This browser has no WebGPU");

async function run(): Promise<void> {
  again.disabled = true;
  find("how-agreement").textContent = "";
  find("how-parts").classList.add("stale");
  status.clear();
  status.say("Opening the GPU and compiling …");
  const start = performance.now();
  let drawing: Promise<void> | undefined;
  try {
    const gpu = await session.open();
    const adapter = await gpu.call<WorkerGpu["adapter"]>("ready");
    find("adapter").textContent = `Adapter: ${adapter.name}${adapter.software ? " (software)" : ""}`;
    const difference = await gpu.call<number>("compileAndRun", [image], { onProgress: show });
    await drawing;
    find("how-agreement").textContent =
      `The same net, as it was written and by plain kernels alone, differs from it by ${scientific(difference)} of the values’ rms at most: rounding.`;
  } catch (error) {
    if (isLost(error)) session.close();
    fail(error);
  } finally {
    again.disabled = false;
  }

  function show(told: Compiling): void {
    compiling = told;
    find("how").classList.remove("recorded");
    find("how-parts").classList.remove("stale");
    find("how-parts").hidden = again.hidden = false;
    status.say(`Compiled and run in ${duration(performance.now() - start)}, opening the GPU included.`);
    drawing = draw(told);
  }
}

/** What went wrong, and a picture in place of what cannot be shown; what an earlier run has shown stays, dimmed. */
async function fail(error: unknown): Promise<void> {
  status.say("");
  status.fail(
    error instanceof Error
      ? error
      : `${error}: open this page in Chrome or Edge 113, Safari 26, Firefox 141 on Windows, or later, to see it run.`,
  );
  again.hidden = !navigator.gpu;
  if (compiling) return;
  const { showRecording } = await import("./recorded.ts");
  showRecording(find("how"), "how");
}

function drawImage(): { width: number; height: number; data: Uint8ClampedArray } {
  const context = find("how-image", HTMLCanvasElement).getContext("2d", IN_MEMORY) as CanvasRenderingContext2D;
  const picture = testPicture();
  const { width, height } = picture;
  context.drawImage(picture, (width - height) / 2, 0, height, height, 0, 0, SIDE, SIDE);
  return { width: SIDE, height: SIDE, data: context.getImageData(0, 0, SIDE, SIDE).data };
}

/** One part after the other: the page answers in between. */
async function draw(told: Compiling): Promise<void> {
  for (const part of [drawGraph, drawPlan, drawDispatch, drawTensors, drawChoices]) {
    part(told);
    await nextFrame();
  }
}

function drawGraph({ dropped, stages }: Compiling): void {
  find("how-dropped").textContent = String(dropped);
  find("how-graph").replaceChildren(
    head("Layer", "Operator", "Reads", "Parameters", "Gives"),
    body(
      stages[0].operators.map(({ layer, name, reads, parameters, shape }) => [
        code(layer),
        code(name),
        code(reads.join(", ")),
        parameters > 0 ? count(parameters) : "",
        sizes(shape),
      ]),
    ),
  );
  find("how-passes").replaceChildren(...merging(stages));
}

function drawPlan(told: Compiling): void {
  const { stages, steps, stays, memory } = told;
  const apart = stays.reduce((sum, { size }) => sum + size, 0);
  find("how-memory").textContent =
    `${stages[0].operators.length} operators have become ${steps.length} steps. Their activations take ${bytes(memory.activations)} in ${memory.buffers.length} buffers; ` +
    `one buffer for each would take ${bytes(apart)}, and less than ${bytes(memory.lowerBound)} are never alive at once. Weights take ${bytes(memory.weights)}.`;
  find("how-plan").replaceChildren(...lives(told));
}

function drawDispatch({ clock, steps, commands }: Compiling): void {
  find("how-clock").textContent = clock === "gpu" ? "the GPU’s own clock" : "wall time, each submitted alone";
  find("how-times").replaceChildren(
    head("Step", "Workgroups × threads", "GFLOP", "Time"),
    body(
      steps.map(({ kernel, grid, threads, flops, milliseconds }) => [
        code(kernel),
        `${grid.join(" × ")} × ${threads}`,
        flops > 0 ? count(flops / 1e9) : "–",
        duration(milliseconds),
      ]),
    ),
  );
  find("how-commands").replaceChildren(
    ...commands.map(({ name, args }) => make("li", {}, make("strong", {}, name), `(${args})`)),
  );
}

function drawChoices(told: Compiling): void {
  const { subgroupSize, software, f16, matrices } = told.traits;
  find("how-traits").textContent = `This device: ${[
    software ? "software" : "a GPU",
    subgroupSize > 0 ? `subgroups of ${subgroupSize}` : "no subgroups of one size",
    f16 ? "f16" : "no f16",
    matrices ? "matrix units" : "no matrix units",
  ].join(", ")}.`;
  find("how-layers").replaceChildren(
    find("how-layers").firstElementChild as Element,
    ...told.lowered.map(({ layer }) => choice(layer, () => follow(told, layer))),
  );
  nextFrame().then(() => follow(told, layer));
}

function drawTensors({ input, output }: Compiling): void {
  find("how-input-text").textContent = `x ${formatShape(input.shape)}: red, green, blue`;
  find("how-output-text").textContent = `layer1.0 ${formatShape(output.shape)}`;
  drawMaps(find("how-input", HTMLCanvasElement), mapsOf(input), { tile: 128, columns: 3, range: 2.5 });
  const canvas = find("how-output", HTMLCanvasElement);
  const width = canvas.parentElement?.clientWidth ?? 0;
  const columns = width > 600 ? 16 : 8;
  const tile = Math.min(64, width / columns - 4);
  drawMaps(canvas, mapsOf(output), { tile, columns, range: robustRange(output.data) });
}

/** Shows the variants and the kernels of an operator. */
function follow(told: Compiling, wanted: string): void {
  const lowered = told.lowered.find(({ layer }) => layer === wanted) ?? told.lowered[told.lowered.length - 1];
  layer = lowered.layer;
  if (stateOf(location.hash).get("layer") !== layer) history.replaceState(null, "", `#how?layer=${layer}`);
  press(find("how-layers"), layer);
  find("how-why").replaceChildren(
    code(layer),
    `, a ${lowered.operator} that gives ${sizes(lowered.shape)}, is run as `,
    make("strong", {}, lowered.variant),
    `: ${lowered.why}.`,
  );
  find("how-ways").replaceChildren(...ways(lowered));
  for (const stay of find("how-plan").querySelectorAll<HTMLElement>(".stay")) {
    stay.classList.toggle("followed", lowered.steps.includes(Number(stay.dataset.step)));
  }
  // The step that computes, not one that converts.
  const main = lowered.steps.reduce((most, i) => (told.steps[i].flops > told.steps[most].flops ? i : most));
  find("how-steps").replaceChildren(
    find("how-steps").firstElementChild as Element,
    ...lowered.steps.map((i) => choice(told.steps[i].kernel, () => showKernel(told, i))),
  );
  showKernel(told, main);
}

async function showKernel({ steps }: Compiling, i: number): Promise<void> {
  const facts = steps[i];
  step = i;
  press(find("how-steps"), facts.kernel);
  find("how-bindings").replaceChildren(
    head("Binding", "Name", "What is there"),
    body(facts.bindings.map(({ index, name, place }) => [String(index), code(name), place])),
  );
  find("how-params").replaceChildren(
    ...facts.params.map(({ name, value }) => make("div", {}, make("dt", {}, code(name)), make("dd", {}, count(value)))),
  );
  const text = await sourceOf(facts);
  // Another one may have been asked for meanwhile.
  if (step !== i) return;
  const lines = text.trimEnd().split("\n");
  find("how-numbers").replaceChildren(...lines.map((_, line) => make("span", {}, `${line + 1}\n`)));
  find("how-code").replaceChildren(...lines.flatMap((line) => [codeLine(line, facts), "\n"]));
  requestAnimationFrame(() => find("how-code").parentElement?.scrollTo(0, 0));
}

/** The code that runs, with the comments of its file, which scripts do without. */
async function sourceOf({ file, code, consts }: StepFacts): Promise<string> {
  if (!file) return code;
  try {
    const response = await fetch(`kernels/${file}.wgsl`);
    return response.ok ? specialize(await response.text(), consts) : code;
  } catch {
    return code;
  }
}

function codeLine(line: string, { consts }: StepFacts): HTMLElement {
  const tokens = tokenize(line).map(({ kind, text }) => (kind ? make("span", { class: kind }, text) : text));
  const [, name] = /^const (\w+)/.exec(line) ?? [];
  return make(name && Object.hasOwn(consts, name) ? "mark" : "span", {}, ...tokens);
}

/** A table whose columns are the passes, and where an operator that went into another is a part of its cell. */
function merging(stages: Compiling["stages"]): HTMLElement[] {
  const rows = stages[0].operators.map((_, row) =>
    make(
      "tr",
      {},
      ...stages.flatMap(({ operators }, column) => {
        const operator = operators.find(({ first }) => first === row);
        if (!operator) return [];
        const { layer, name, first, last, notes } = operator;
        const before = stages[column - 1]?.operators.find((each) => each.first === row);
        const isChanged = before !== undefined && before.last !== last;
        return make(
          column === 0 ? "th" : "td",
          {
            rowspan: String(last - first + 1),
            ...(column === 0 ? { scope: "row" } : {}),
            ...(isChanged ? { class: "changed" } : {}),
          },
          ...(column === 0 && layer !== name ? [code(layer), " "] : []),
          make("strong", {}, name),
          ...notes.map((note) => make("span", { class: "quiet" }, note)),
        );
      }),
    ),
  );
  const titles = stages.map(({ pass, operators }) =>
    make(
      "th",
      { scope: "col" },
      pass ? code(pass) : "As written",
      make("span", { class: "quiet" }, `${operators.length} operators`),
    ),
  );
  return [make("thead", {}, make("tr", {}, ...titles)), make("tbody", {}, ...rows)];
}

function ways({ ways, variant }: Lowered): HTMLElement[] {
  const most = Math.max(...ways.map(({ milliseconds = 0 }) => milliseconds));
  const rows = ways.map(({ name, reason = "", milliseconds }) => {
    const isTaken = name === variant;
    const cells =
      milliseconds === undefined
        ? [make("td", { class: "quiet", colspan: "2" }, isTaken ? "taken" : reason)]
        : [
            make("td", {}, bar(isTaken ? "fill" : "fill second", milliseconds / (most || 1))),
            make("td", {}, `${duration(milliseconds)}${isTaken ? ", taken" : ""}`),
          ];
    return make("tr", isTaken ? { class: "chosen" } : {}, make("th", { scope: "row" }, code(name)), ...cells);
  });
  return [head("Way", "Estimate", ""), make("tbody", {}, ...rows)];
}

function bar(kind: string, part: number): HTMLElement {
  const fill = make("span", { class: kind });
  fill.style.width = share(part);
  return make("span", { class: "track", "aria-hidden": "true" }, fill);
}

/** The activation buffers, one below the other, from the first step to the last; heights are bytes. */
function lives({ steps, stays, memory }: Compiling): HTMLElement[] {
  const columns = steps.length + 2;
  const titles = make(
    "ol",
    { class: "titles" },
    ...["image", ...steps.map(({ kernel }) => kernel), "result"].map((name) => make("li", {}, name)),
  );
  titles.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  const rows = memory.buffers.map((size, buffer) => {
    const row = make("ul", { class: "buffer", "aria-label": `Activation ${buffer}, ${bytes(size)}` });
    row.style.height = `${Math.max(2.6, (14 * size) / Math.max(...memory.buffers))}em`;
    for (const stay of stays.filter((each) => each.buffer === buffer)) {
      const item = make(
        "li",
        { class: "stay", "data-step": String(stay.first) },
        code(stay.name),
        make("span", { class: "quiet" }, bytes(stay.size)),
      );
      item.style.left = share((stay.first + 1) / columns);
      item.style.width = share((stay.last - stay.first + 1) / columns);
      item.style.top = share(stay.offset / size);
      item.style.height = share(stay.size / size);
      row.append(item);
    }
    return row;
  });
  return [titles, ...rows];
}

/** For style sheets. */
const share = (part: number): string => `${100 * part}%`;

const bytes = (size: number): string => `${count(size / 1024)} KiB`;

const code = (text: string): HTMLElement => make("code", {}, text);

const head = (...titles: string[]): HTMLElement =>
  make(
    "thead",
    {},
    make("tr", {}, ...titles.map((title) => make(title ? "th" : "td", title ? { scope: "col" } : {}, title))),
  );

const body = (rows: readonly (readonly (Node | string)[])[]): HTMLElement =>
  make("tbody", {}, ...rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)))));

function choice(name: string, choose: () => void): HTMLElement {
  const button = make("button", { type: "button", "aria-pressed": "false", "data-name": name }, code(name));
  button.addEventListener("click", choose);
  return button;
}

function press(group: HTMLElement, name: string): void {
  for (const button of group.querySelectorAll("button")) button.ariaPressed = String(button.dataset.name === name);
}
