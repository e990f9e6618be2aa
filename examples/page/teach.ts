import type { Progress as LoadProgress } from "../../engine/ground/options.ts";
import type { WorkerNet } from "../../worker.ts";
import { showBars } from "./bars.ts";
import { Camera } from "./camera.ts";
import { drawChart } from "./chart.ts";
import { ClassCard } from "./class_card.ts";
import { Confusion, type Reading } from "./confusion.ts";
import { BUNDLED } from "./digit_files.ts";
import { download, find, make, onColorScheme } from "./dom.ts";
import { count, megabytes, percent } from "./format.ts";
import type { Page } from "./main.ts";
import { Pad } from "./pad.ts";
import { readPhoto } from "./photo.ts";
import { digitOf, drawingOf, sampleOf, squareOf } from "./samples.ts";
import { Session } from "./session.ts";
import { isLost, Progress, Status } from "./status.ts";
import { isShown, stateOf } from "./tabs.ts";
import type { HeldOut, Taught, TeachSettings, TeachTold } from "./worker/teaching.ts";

/** What a body is for people, and where its weights come from: none is downloaded unasked. */
interface Body {
  readonly name: string;
  readonly bytes: number;
  /** Settings that suit it. */
  readonly lr: number;
  readonly steps: number;
  readonly weights?: Blob | string;
}

const BODIES: Readonly<Record<string, Body>> = {
  lenet5: { name: "LeNet-5", bytes: 0, lr: 0.01, steps: 120, weights: "lenet5.safetensors" },
  squeezenet1_1: { name: "SqueezeNet", bytes: 5e6, lr: 0.001, steps: 60 },
  resnet18: { name: "ResNet-18", bytes: 46.8e6, lr: 0.001, steps: 120 },
};

const [FEWEST, MOST, AT_FIRST] = [2, 10, 3];

/** Digits or sketches of each class, of those that come with the page. */
const GIVEN = 40;

/** As many thumbnails as are made at a time, so that the page goes on meanwhile. */
const PER_FRAME = 10;

/** From one frame that is recorded to the next, in milliseconds. */
const FRAME_MS = 120;

/** Samples that are sent to the worker together. */
const SENT = 8;

/** What a class is filled with: its name, and samples that are made one by one. */
interface Filling {
  readonly name: string;
  readonly pictures: readonly (() => ImageData)[];
}

/** What a head has learned, step by step. */
interface Curves {
  readonly losses: [number, number][];
  readonly accuracies: [number, number][];
  readonly heldLosses: [number, number][];
  readonly heldAccuracies: [number, number][];
}

const noCurves = (): Curves => ({ losses: [], accuracies: [], heldLosses: [], heldAccuracies: [] });

/** Classes of a visitor's own: samples, a last layer that is trained for them, and what that makes of the next picture. */
export function start(_page: Page): void {
  const status = new Status(find("teach-status"), find("teach-problem"));
  const progress = new Progress("teach-progress", "teach-bar", "teach-cancel");
  const session = new Session("teaching", onLost);
  const choice = find("teach-net", HTMLSelectElement);
  const settingsForm = find("teach-settings", HTMLFormElement);
  const fields = Object.fromEntries(
    ["steps", "lr", "held", "seed"].map((name) => [name, find(`teach-${name}`, HTMLInputElement)]),
  );
  const [
    trainButton,
    digitsButton,
    sketchesButton,
    addButton,
    resetButton,
    undoButton,
    exportButton,
    cameraButton,
    loadButton,
    fileButton,
  ] = ["train", "digits", "sketches", "add", "reset", "undo", "export", "camera", "load", "file"].map((name) =>
    find(`teach-${name}`, HTMLButtonElement),
  );
  const weightsPicker = find("teach-weights", HTMLInputElement);
  const list = find("classes");
  const bars = find("teach-bars");
  const video = find("teach-video", HTMLVideoElement);
  const camera = new Camera(video);
  const confusion = new Confusion(find("confusion", HTMLTableElement), find("cell-title"), find("cell-pictures"));
  const pad = new Pad(find("teach-pad", HTMLCanvasElement), answer);

  /** What was loaded in this visit, by the names of nets, and which of them is in the worker. */
  const weights = new Map(Object.entries(BODIES).flatMap(([net, { weights }]) => (weights ? [[net, weights]] : [])));
  let opened: string | undefined;
  /** Samples that the worker has looked at. */
  let looked = new Set<number>();
  let cards: ClassCard[] = [];
  /** What they were before some were taken away. */
  let before: ClassCard[] | undefined;
  let running: AbortController | undefined;
  let curves = noCurves();
  /** What answers, of the classes that it was trained for. */
  let taught: Promise<WorkerNet> | undefined;
  let readings: readonly Reading[] = [];
  let isRunning = false;
  let isStale = false;
  let willDraw = false;
  let isFilling = false;
  /** Whose samples the camera takes, and whether it has taken one. */
  let recording: { readonly card: ClassCard; isEnded: boolean; taken: number; at: number } | undefined;

  const names = (): string[] => cards.map(({ name }, i) => name || `Class ${i + 1}`);
  const body = (): Body => BODIES[choice.value];
  const isPhotoNet = (): boolean => choice.value !== "lenet5";
  const isReady = (): boolean => weights.has(choice.value);

  for (const [net, { name }] of Object.entries(BODIES)) choice.append(make("option", { value: net }, name));
  setDefaults();
  restore();
  if (cards.length === 0) setClasses(Array.from({ length: AT_FIRST }, (_, i) => `Class ${i + 1}`));
  update();
  tellWhatIsMissing();
  trainButton.addEventListener("click", () => (running ? stop() : train()));
  digitsButton.addEventListener("click", () => fill("digits", readDigits));
  sketchesButton.addEventListener("click", () => fill("sketches", readSketches));
  addButton.addEventListener("click", () => {
    before = undefined;
    setClasses([...cards, `Class ${cards.length + 1}`]);
    changeClasses();
  });
  resetButton.addEventListener("click", () => {
    before = cards;
    setClasses(Array.from({ length: AT_FIRST }, (_, i) => `Class ${i + 1}`));
    changeClasses();
  });
  undoButton.addEventListener("click", () => {
    setClasses(before ?? cards);
    before = undefined;
    changeClasses();
    resetButton.focus();
  });
  exportButton.addEventListener("click", save);
  find("teach-clear").addEventListener("click", () => pad.clear());
  cameraButton.addEventListener("click", () => (camera.isOn ? stopCamera() : startCamera()));
  choice.addEventListener("change", changeNet);
  loadButton.addEventListener("click", () => load("DEFAULT"));
  fileButton.addEventListener("click", () => weightsPicker.click());
  weightsPicker.addEventListener("change", () => {
    if (weightsPicker.files?.[0]) load(weightsPicker.files[0]);
    weightsPicker.value = "";
  });
  settingsForm.addEventListener("submit", (event) => event.preventDefault());
  settingsForm.addEventListener("change", () => {
    if (settingsForm.reportValidity()) tellAddress();
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0 || !isShown("teach")) return;
    takeFiles(cards.find(({ element }) => element.contains(document.activeElement)) ?? cards[0], files);
  });
  addEventListener("hashchange", () => {
    // Nobody is filmed who looks at something else.
    if (isShown("teach")) restore();
    else stopCamera();
  });
  onColorScheme(() => {
    pad.redraw();
    drawCurves();
  });
  new ResizeObserver(drawCurves).observe(find("teach-charts"));

  // The classes and the settings

  /** Makes cards of names; those that are there stay. */
  function setClasses(classes: readonly (ClassCard | string)[]): void {
    const actions = { onChange, onFiles: takeFiles, onAdd: addDrawing, onHold: hold, onRemove: removeClass };
    cards = classes.map((each) => (typeof each === "string" ? new ClassCard(each, actions) : each));
    list.replaceChildren(...cards.map(({ element }) => element));
    placeCards();
  }

  function placeCards(): void {
    const add = camera.isOn ? "Hold to record" : "Add drawing";
    for (const [i, card] of cards.entries()) card.place(i, add, cards.length > FEWEST);
    if (!taught) showAnswer(undefined);
  }

  function removeClass(gone: ClassCard): void {
    const place = cards.indexOf(gone);
    before = cards;
    setClasses(cards.filter((card) => card !== gone));
    changeClasses();
    cards[Math.min(place, cards.length - 1)].element.querySelector("input")?.focus();
  }

  function onChange(_card: ClassCard, kind: "samples" | "name"): void {
    before = undefined;
    placeCards();
    if (kind === "name") {
      tellAddress();
      showReadings();
    } else if (taught) find("teach-changed").hidden = false;
    update();
    if (!taught && !running && !isFilling) tellWhatIsMissing();
  }

  /** Other classes, or another net: what was trained is not for them. */
  function changeClasses(): void {
    stop();
    forgetTaught();
    status.clear();
    tellAddress();
    update();
    tellWhatIsMissing();
  }

  function forgetTaught(): void {
    const gone = taught;
    taught = undefined;
    gone?.then((net) => net.dispose()).catch(() => {});
    curves = noCurves();
    readings = [];
    find("teach-changed").hidden = true;
    drawCurves();
    showReadings();
    showAnswer(undefined);
  }

  function setDefaults(): void {
    const { steps, lr } = body();
    for (const [name, value] of Object.entries({ steps, lr, held: 25, seed: 1 })) fields[name].value = String(value);
  }

  function settings(): TeachSettings {
    const { steps, lr, held, seed } = fields;
    return {
      steps: Number(steps.value),
      lr: Number(lr.value),
      held: Number(held.value) / 100,
      seed: Number(seed.value),
    };
  }

  /** Takes what the address says; what it does not say, and what is no value, stays as it is. No sample is lost over it. */
  function restore(): void {
    const given = stateOf(location.hash);
    const classes = given.getAll("class").map((name) => name.slice(0, 40));
    const isEmpty = cards.every(({ samples }) => samples.length === 0);
    const isOther = String(classes) !== String(names());
    if (isEmpty && isOther && classes.length >= FEWEST && classes.length <= MOST) setClasses(classes);
    const net = given.get("net") ?? "";
    if (Object.hasOwn(BODIES, net) && net !== choice.value) {
      choice.value = net;
      changeNet();
    }
    for (const [name, field] of Object.entries(fields)) {
      const before = field.value;
      field.value = given.get(name) ?? before;
      if (field.value === "" || !field.checkValidity()) field.value = before;
    }
    tellAddress();
    update();
  }

  function tellAddress(): void {
    if (!isShown("teach")) return;
    const state = new URLSearchParams({ net: choice.value });
    for (const name of names()) state.append("class", name);
    for (const [name, { value }] of Object.entries(fields)) state.set(name, value);
    history.replaceState(null, "", `#teach?${state}`);
  }

  // The net

  function changeNet(): void {
    if (!isPhotoNet()) stopCamera();
    fields.lr.value = String(body().lr);
    fields.steps.value = String(body().steps);
    progress.cancel();
    changeClasses();
  }

  /** Loads weights for the net that is chosen. */
  async function load(given: Blob | string): Promise<void> {
    const net = choice.value;
    status.clear();
    changeClasses();
    status.say(`Loading ${body().name} …`);
    try {
      await progress.during((signal) => open(net, given, signal));
      weights.set(net, given);
      update();
      tellWhatIsMissing(`${BODIES[net].name} is loaded. `);
    } catch (error) {
      if (net === choice.value) {
        status.say("Nothing is loaded.");
        fail(error);
      }
    }
  }

  async function open(net: string, given: Blob | string, signal: AbortSignal): Promise<void> {
    const gpu = await session.open();
    const onProgress = ({ phase, loaded, total }: LoadProgress) => {
      progress.update(loaded, total);
      if (phase === "download" && net !== "lenet5")
        status.say(`Downloading ${megabytes(loaded)} of ${megabytes(total)} …`);
    };
    opened = undefined;
    looked = new Set();
    await gpu.call("openBody", [net, given], { signal, onProgress });
    opened = net;
  }

  // Samples

  /** Fills classes that have no samples yet. */
  async function fill(what: string, read: () => Promise<readonly Filling[]>): Promise<void> {
    status.clear();
    status.say(`Reading the ${what} …`);
    isFilling = true;
    update();
    const filled = cards;
    try {
      for (const [i, { name, pictures }] of (await read()).entries()) {
        const card = filled[i];
        if (card.samples.length > 0) continue;
        if (/^(Class \d+)?$/.test(card.name)) card.name = name;
        for (let first = 0; first < pictures.length; first += PER_FRAME) {
          await new Promise(requestAnimationFrame);
          card.add(pictures.slice(first, first + PER_FRAME).map((make) => sampleOf(make())));
        }
      }
      isFilling = false;
      tellAddress();
      tellWhatIsMissing();
    } catch (error) {
      isFilling = false;
      fail(error);
    }
    update();
  }

  async function readDigits(): Promise<readonly Filling[]> {
    const gpu = await session.open();
    const all = await gpu.call<Uint8Array[][]>("someDigits", [cards.length, GIVEN, BUNDLED.train]);
    return all.map((inks, i) => ({ name: String(i), pictures: inks.map((ink) => () => digitOf(ink)) }));
  }

  async function readSketches(): Promise<readonly Filling[]> {
    const { SUBJECTS, sketch } = await import("./sketches.ts");
    return SUBJECTS.slice(0, cards.length).map((name) => ({
      name,
      pictures: Array.from({ length: GIVEN }, () => () => sketch(name)),
    }));
  }

  function addDrawing(card: ClassCard): void {
    if (camera.isOn) return;
    if (pad.isEmpty) {
      status.say("Draw something first; then add it to a class.");
      return;
    }
    addTo(card, drawingOf(pad.picture()));
    pad.clear();
  }

  function addTo(card: ClassCard, picture: ImageData): void {
    if (card.add([sampleOf(picture)]) === 0)
      status.fail(new Error(`${card.name} has ${count(card.samples.length)} samples, the most that there may be`));
  }

  async function takeFiles(card: ClassCard, files: readonly File[]): Promise<void> {
    status.clear();
    for (const file of files) {
      try {
        addTo(card, await squareOf(await readPhoto(file)));
      } catch (error) {
        status.fail(error);
      }
    }
  }

  async function startCamera(): Promise<void> {
    try {
      status.clear();
      await camera.start();
      showVideo(true);
      for (let frame = await camera.frame(); frame; frame = await camera.frame()) await see(frame);
    } catch (error) {
      status.fail(error);
    }
    stopCamera();
  }

  /** A frame of the camera: for the class that is recorded, and to be answered. */
  async function see(frame: ImageBitmap): Promise<void> {
    const picture = await squareOf(frame);
    const now = performance.now();
    if (recording && now - recording.at >= FRAME_MS) {
      recording.at = now;
      recording.taken++;
      addTo(recording.card, picture);
      if (recording.isEnded) recording = undefined;
    }
    if (taught) await answerFor(picture);
  }

  function hold(card: ClassCard | undefined): void {
    if (card && camera.isOn) recording = { card, isEnded: false, taken: 0, at: Number.NEGATIVE_INFINITY };
    // However short it was, it was meant for one.
    else if (recording) {
      recording.isEnded = true;
      if (recording.taken > 0) recording = undefined;
    }
  }

  function stopCamera(): void {
    recording = undefined;
    if (!camera.isOn) return;
    camera.stop();
    showVideo(false);
    answer();
  }

  function showVideo(isSeen: boolean): void {
    video.hidden = !isSeen;
    find("teach-pad").hidden = isSeen;
    cameraButton.ariaPressed = String(isSeen);
    cameraButton.textContent = isSeen ? "Stop the camera" : "Camera";
    placeCards();
    update();
  }

  // Training

  /** Whether there is enough of all to train with; says what is missing. */
  function tellWhatIsMissing(before = ""): void {
    const few = names().filter((_, i) => cards[i].samples.length < 2);
    if (!isReady()) status.say(`Load the weights of ${body().name}, or choose LeNet-5, which is here.`);
    else if (few.length === 0) status.say(`${before}Press Train.`);
    else if (few.length === cards.length)
      status.say(`${before}Add at least two samples to each class, or try it with digits or sketches.`);
    else status.say(`${before}Still at least two samples for ${few.join(", ")}.`);
  }

  async function train(): Promise<void> {
    if (!settingsForm.reportValidity()) return;
    const controller = new AbortController();
    const { signal } = controller;
    running = controller;
    forgetTaught();
    status.clear();
    status.say("Opening the GPU …");
    update();
    const net = choice.value;
    const samples = cards.map((card) => card.samples);
    const begun = performance.now();
    try {
      const gpu = await session.open();
      if (opened !== net) await open(net, weights.get(net) as Blob | string, signal);
      await lookAt(samples.flat(), signal);
      const classes = samples.map((some) => some.map(({ id }) => id));
      status.say("Training …");
      const done = await gpu.call<Taught>("teach", [classes, settings()], { signal, onProgress: hear });
      const bytes = await gpu.call<Uint8Array>("saveTaught", [names()]);
      if (signal.aborted) return;
      const loading = gpu.loadNet(net, { weights: bytes });
      taught = loading;
      await loading;
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      readings = readingsOf(samples, done.held);
      showReadings();
      const right = readings.filter(({ label, guess }) => label === guess).length;
      status.say(
        `Trained on ${count(done.count)} samples in ${seconds} s; reads ${right} of ${readings.length} held-out ones correctly, ${percent(right / readings.length)}. ${isPhotoNet() ? "Show it something." : "Draw something."}`,
      );
      if (performance.getEntriesByName("taught").length === 0) performance.mark("taught");
      answer();
    } catch (error) {
      if (running === controller) fail(error);
    } finally {
      if (running === controller) running = undefined;
      update();
    }
  }

  /** Lets the worker look at samples that are new to it, and forget those that are gone. */
  async function lookAt(samples: readonly { readonly id: number; readonly picture: ImageData }[], signal: AbortSignal) {
    const gpu = await session.open();
    const present = new Set(samples.map(({ id }) => id));
    const gone = [...looked].filter((id) => !present.has(id));
    if (gone.length > 0) await gpu.call("forgetSamples", [gone], { signal });
    for (const id of gone) looked.delete(id);
    const fresh = samples.filter(({ id }) => !looked.has(id));
    for (let first = 0; first < fresh.length; first += SENT) {
      status.say(`Looking at the samples: ${first} of ${fresh.length} …`);
      const some = fresh.slice(first, first + SENT);
      await gpu.call("lookAt", [some], { signal });
      for (const { id } of some) looked.add(id);
    }
  }

  function stop(): void {
    if (!running) return;
    running.abort();
    running = undefined;
    forgetTaught();
    update();
    tellWhatIsMissing("Stopped. ");
  }

  function hear(told: TeachTold): void {
    const { losses, accuracies, heldLosses, heldAccuracies } = curves;
    const put = (curve: [number, number][], step: number, value: number) => {
      // After a loss of the device steps are done again.
      while (curve.length > 0 && (curve.at(-1)?.[0] ?? 0) >= step) curve.pop();
      curve.push([step, value]);
    };
    const { step, loss, accuracy, held } = told;
    put(losses, step, loss);
    put(accuracies, step, accuracy);
    if (held) {
      put(heldLosses, step, held.loss);
      put(heldAccuracies, step, held.accuracy);
    }
    if (willDraw) return;
    willDraw = true;
    requestAnimationFrame(() => {
      willDraw = false;
      drawCurves();
    });
  }

  async function save(): Promise<void> {
    try {
      const bytes = await (await session.open()).call<Uint8Array<ArrayBuffer>>("saveTaught", [names()]);
      download("mine.safetensors", new Blob([bytes]));
    } catch (error) {
      fail(error);
    }
  }

  async function onLost(): Promise<void> {
    try {
      await (await session.open()).call("ready");
      if (!running) status.say("The GPU device was lost and opened again; all goes on.");
    } catch (error) {
      fail(error);
    }
  }

  function fail(error: unknown): void {
    status.fail(error);
    if (!isLost(error)) return;
    // The library has given it up, or its worker has ended, and what was trained with it. The samples are here.
    session.close();
    opened = undefined;
    looked = new Set();
    running = undefined;
    forgetTaught();
    update();
    tellWhatIsMissing("The classifier is lost; the samples are not. ");
  }

  // Answers

  /** Answers for what is on the pad; what is drawn meanwhile gets its answer after that. */
  async function answer(): Promise<void> {
    isStale = true;
    if (isRunning || camera.isOn) return;
    isRunning = true;
    while (isStale) {
      isStale = false;
      if (pad.isEmpty || !taught) showAnswer(undefined);
      else await answerFor(drawingOf(pad.picture()));
    }
    isRunning = false;
  }

  async function answerFor(picture: ImageData): Promise<void> {
    const [by, isFrame] = [taught, camera.isOn];
    try {
      const top = await (await by)?.classify(picture, { top: MOST });
      // Another one was trained meanwhile, or the camera is off.
      if (!top || by !== taught || isFrame !== camera.isOn) return;
      showAnswer(top.toSorted((a, b) => a.index - b.index).map((each) => each.probability));
    } catch (error) {
      if (by !== taught) return;
      showAnswer(undefined);
      fail(error);
    }
  }

  function showAnswer(shares: readonly number[] | undefined): void {
    const best = shares ? shares.indexOf(Math.max(...shares)) : undefined;
    const rows = names().map((label, i) => ({ label, share: shares?.[i] ?? 0 }));
    showBars(bars, rows, best);
    for (const [i, row] of [...bars.children].entries())
      (row as HTMLElement).style.setProperty("--colour", `var(--class-${i})`);
    bars.classList.toggle("faded", shares === undefined);
    find("teach-answer").textContent = best === undefined ? "\u00a0" : names()[best];
  }

  function readingsOf(samples: readonly ClassCard["samples"][], held: readonly HeldOut[]): Reading[] {
    const all = samples.flatMap((some, label) => some.map((sample) => [sample.id, { sample, label }] as const));
    const byId = new Map(all);
    return held.flatMap(({ id, probabilities }) => {
      const known = byId.get(id);
      const probability = Math.max(...probabilities);
      return known ? [{ ...known, guess: probabilities.indexOf(probability), probability }] : [];
    });
  }

  function showReadings(): void {
    confusion.show(names(), readings);
    find("confusion-text").textContent =
      readings.length > 0
        ? `${count(readings.length)} held-out samples: press a number to see them`
        : "of held-out samples, after training";
    showBarsNames();
  }

  function showBarsNames(): void {
    for (const [i, row] of [...bars.children].entries()) {
      const label = row.querySelector(".label");
      if (label && cards[i]) label.textContent = names()[i];
    }
  }

  function update(): void {
    const isTraining = running !== undefined;
    const enough = cards.every(({ samples }) => samples.length >= 2);
    trainButton.textContent = isTraining ? "Stop" : "Train";
    trainButton.disabled = !isTraining && (isFilling || !enough || !isReady());
    digitsButton.disabled = sketchesButton.disabled =
      isTraining || isFilling || cards.every(({ samples }) => samples.length > 0);
    addButton.disabled = cards.length >= MOST;
    undoButton.hidden = !before;
    exportButton.disabled = !taught || isTraining;
    cameraButton.hidden = !isPhotoNet();
    const { name, bytes } = body();
    find("teach-load-row").hidden = !isPhotoNet();
    loadButton.textContent = `Load ${name}, ${megabytes(bytes)}`;
    loadButton.classList.toggle("primary", !isReady());
    trainButton.classList.toggle("primary", isReady());
    find("teach-net-text").textContent = isPhotoNet()
      ? isReady()
        ? `${name} is loaded: its samples are photos, the camera’s pictures, drawings.`
        : `${name} was trained on a million photos. It is downloaded when you ask for it, and kept.`
      : "It has read digits: black ink on white paper. For photos and the camera choose another.";
    find("teach-command").textContent =
      `npx shadenet classify picture.png --net ${choice.value} --weights mine.safetensors`;
  }

  function drawCurves(): void {
    if (find("teach-charts").clientWidth === 0) return;
    const top = Math.max(0.5, Math.ceil(Math.log(cards.length) * 15) / 10);
    const { losses, accuracies, heldLosses, heldAccuracies } = curves;
    drawOne("teach-loss", losses, heldLosses, { top, tick: (v) => v.toFixed(2) }, (v) => v.toFixed(2));
    drawOne("teach-accuracy", accuracies, heldAccuracies, { top: 1, tick: percent }, percent);
  }
}

type Points = readonly (readonly [number, number])[];

function drawOne(
  id: string,
  training: Points,
  held: Points,
  axis: Parameters<typeof drawChart>[2],
  format: (v: number) => string,
) {
  const svg = document.getElementById(`${id}-chart`) as unknown as SVGSVGElement;
  const [now, then] = [training.at(-1), held.at(-1)];
  const text = now ? `${format(now[1])}${then ? `, ${format(then[1])} held out` : ""}` : "";
  find(`${id}-text`).textContent = text;
  svg.ariaLabel = now ? `${text}, after step ${now[0]}` : "Nothing yet";
  const curves = [
    { kind: "training", points: training },
    { kind: "tested", points: held, dots: true },
  ];
  drawChart(svg, curves, axis);
}
