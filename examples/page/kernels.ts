import type { WorkerGpu } from "../../worker.ts";
import { acceptDrops, download, find, make } from "./dom.ts";
import { keepDraft, pack, readDraft, readSourceFile, unpack } from "./drafts.ts";
import { Editor } from "./editor.ts";
import { count, duration, scientific } from "./format.ts";
import { showLadder } from "./ladder_view.ts";
import type { Page } from "./main.ts";
import { Session } from "./session.ts";
import { isLost, reasonOf, Status } from "./status.ts";
import { isShown, stateOf } from "./tabs.ts";
import type { Ladder } from "./worker/ladder.ts";
import type { Agreement, Diagnostic, NetRun, Race, SourceInfo, Worst } from "./worker/playground.ts";

/** From the last key to the compiler. */
const PAUSE_MS = 400;

/** What takes longer may never end: the device is given up. Compiling and running a net may take a while. */
const PATIENCE_MS = { check: 20_000, compare: 30_000, race: 30_000, runNet: 120_000, ladder: 300_000 };
type Method = keyof typeof PATIENCE_MS;

/** Longer addresses are cut off by what people send them with. */
const MOST_ADDRESS = 8000;

const NAMES: Readonly<Record<string, string>> = { resnet18: "ResNet-18", alexnet2012: "AlexNet", lenet5: "LeNet-5" };

/** Where the results stand: those of a source alone, and of a net with it. */
const CHECKS = ["compiles", "agrees", "worst", "race"] as const;
const RESULTS = [...CHECKS, "net-run"] as const;
type Result = (typeof RESULTS)[number];

const NEXT = "The next change, or Run, opens it again";

/** What was lost may have been lost by the kernel: that is not run again unasked. */
const toldOf = (lost: unknown): Error => new Error(`${reasonOf(lost)}. That was the playground's own. ${NEXT}`);

/** The kernels' sources, to be changed. They run on a device of their own, which may be lost. */
export function start(page: Page): void {
  const status = new Status(find("kernels-status"), find("kernels-problem"));
  const session = new Session("playground", (error) => {
    status.fail(toldOf(error));
    edited.delete(choice.value);
    // What runs next runs in another worker: this one may have ended.
    session.close();
  });
  const editor = new Editor(find("editor"), edit);
  const choice = find("kernel", HTMLSelectElement);
  const [runButton, resetButton, netButton, ladderButton] = ["run-kernel", "reset", "run-net", "climb"].map((id) =>
    find(id, HTMLButtonElement),
  );
  const picker = find("wgsl-file", HTMLInputElement);
  let sources: readonly SourceInfo[] = [];
  let [timer, telling]: (ReturnType<typeof setTimeout> | undefined)[] = [];
  let running: AbortController | undefined;
  /** Resolves when nothing is under way. */
  let idle: Promise<void> = Promise.resolve();
  /** What the chosen kernel is as shipped. */
  let original = "";
  /** What each result is of, as it stood in the editor. */
  const ran = new Map<Result, string>();
  /** Kernels that were edited here, since the page was opened, and have cost no device: what they hold may run again. */
  const edited = new Set<string>();
  let ladderOf: string | undefined;

  choice.addEventListener("change", () => open(choice.value));
  resetButton.addEventListener("click", () => {
    editor.value = original;
    keep();
    judge();
  });
  runButton.addEventListener("click", judge);
  netButton.addEventListener("click", runNet);
  ladderButton.addEventListener("click", climb);
  find("editor").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    judge();
  });
  find("save-wgsl").addEventListener("click", () => {
    download(`${choice.value}.wgsl`, new Blob([editor.value], { type: "text/plain" }));
  });
  find("open-wgsl").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    for (const file of picker.files ?? []) take(file);
    picker.value = "";
  });
  acceptDrops(find("panel-kernels"), take);
  addEventListener("hashchange", () => {
    if (!isShown("kernels") || sources.length === 0) return;
    if (location.hash.includes("?")) restore();
    else tell();
  });
  page.onReopen(() => {
    if (sources.length === 0) list();
  });
  list();

  async function list(): Promise<void> {
    try {
      status.say("Opening a device …");
      sources = await (await session.open()).call<SourceInfo[]>("kernels");
      status.say("");
      status.clear();
    } catch (error) {
      status.say("");
      status.fail(error);
      return;
    }
    const groups: [string, SourceInfo[]][] = [
      ["What nets run on this device", sources.filter(({ isDefault }) => isDefault)],
      ["Other ways to run them", sources.filter(({ net, isDefault }) => net && !isDefault)],
      ["More kernels", sources.filter(({ net }) => !net)],
    ];
    choice.replaceChildren(
      ...groups.map(([label, members]) =>
        make("optgroup", { label }, ...members.map(({ name }) => make("option", { value: name }, titleOf(name)))),
      ),
    );
    choice.value = sources.some(({ name }) => name === "relu") ? "relu" : sources[0].name;
    restore();
  }

  const titleOf = (name: string): string => (readDraft(name) === undefined ? name : `${name} (edited)`);

  const chosen = (): SourceInfo | undefined => sources.find(({ name }) => name === choice.value);

  /** Opens what the address says, as far as there is such a kernel. */
  async function restore(): Promise<void> {
    const given = stateOf(location.hash);
    const [name, packed] = [given.get("kernel"), given.get("wgsl")];
    if (name === null) return open(choice.value);
    if (!sources.some((source) => source.name === name)) {
      await open(choice.value);
      status.fail(new Error("the address names a kernel that there is not on this device; choose another one"));
      return;
    }
    try {
      const given = packed === null ? undefined : await unpack(packed);
      // It is there already.
      if (name === choice.value && given === editor.value) return;
      await open(name, given);
    } catch (error) {
      await open(name);
      status.fail(error);
    }
  }

  /** Shows a kernel with the text that is given, else as it was edited, else as shipped. */
  async function open(name: string, given?: string): Promise<void> {
    choice.value = name;
    const source = chosen();
    if (!source) return;
    abandon();
    ran.clear();
    for (const id of RESULTS) write(id, "–");
    status.say("");
    const net = NAMES[source.net ?? ""];
    netButton.textContent = net ? `Run ${net} with it` : "No net here runs it";
    netButton.disabled = true;
    find("net-run-title").textContent = `${net ?? "A net"} with it`;
    showOperator(source);
    const shipped = await readSource(source);
    if (chosen() !== source) return;
    original = shipped;
    const draft = readDraft(name);
    editor.value = given ?? draft ?? original;
    netButton.disabled = !net;
    tell();
    if (editor.value === original || (given === undefined && edited.has(name))) {
      judge();
      return;
    }
    const whence = given === undefined ? "Kept from your last visit" : "This source came with the address";
    status.say(`${whence}; it has not run yet: Run, or Ctrl+Enter, runs it.`);
  }

  async function take(file: File): Promise<void> {
    try {
      const text = await readSourceFile(file);
      const name = file.name.replace(/\.wgsl$/, "");
      if (sources.some((source) => source.name === name) && name !== choice.value) await open(name);
      editor.value = text;
      edit();
    } catch (error) {
      status.fail(error);
    }
  }

  function edit(): void {
    edited.add(choice.value);
    abandon();
    status.say("");
    keep();
    timer = setTimeout(judge, PAUSE_MS);
  }

  /** What is under way would be of another source, and what was said is told to be. */
  function abandon(): void {
    clearTimeout(timer);
    running?.abort();
    status.clear();
    for (const id of RESULTS) {
      if (find(id).textContent === "…") write(id, "–");
    }
    dim();
  }

  /** Results of what no longer stands in the editor are dimmed. */
  function dim(): void {
    let isAny = false;
    for (const id of RESULTS) {
      const isStale = ran.has(id) && ran.get(id) !== editor.value;
      find(id).classList.toggle("stale", isStale);
      isAny ||= isStale;
    }
    find("edited-since").textContent = isAny ? "Edited since: what is dimmed is older." : "";
  }

  /** Keeps what is in the editor, in the browser at once and in the address when nobody types. */
  function keep(): void {
    const isOriginal = editor.value === original;
    keepDraft(choice.value, isOriginal ? undefined : editor.value);
    find("draft").textContent = isOriginal ? "As shipped." : "Edited …";
    resetButton.disabled = isOriginal;
    for (const option of choice.options) {
      if (option.value === choice.value) option.textContent = titleOf(option.value);
    }
    clearTimeout(telling);
    telling = setTimeout(tell, PAUSE_MS);
  }

  /** Says whether it was edited and where that is kept, and puts it into the address. */
  async function tell(): Promise<void> {
    const [name, wgsl] = [choice.value, editor.value];
    const isOriginal = wgsl === original;
    resetButton.disabled = isOriginal;
    const packed = isOriginal ? "" : `&wgsl=${await pack(wgsl)}`;
    if (choice.value !== name || editor.value !== wgsl) return;
    const address = `#kernels?kernel=${name}${packed}`;
    const length = location.href.split("#")[0].length + address.length;
    const fits = length <= MOST_ADDRESS;
    if (isShown("kernels")) history.replaceState(null, "", fits ? address : `#kernels?kernel=${name}`);
    const here = readDraft(name) === wgsl ? "kept in this browser" : "not kept in this browser";
    const there = fits
      ? "the address has it, too"
      : `too long for the address (${count(length)} characters, ${count(MOST_ADDRESS)} at most): save it as a file`;
    find("draft").textContent = isOriginal ? "As shipped." : `Edited: ${here}; ${there}.`;
  }

  function write(id: Result, text: string, isGood?: boolean): void {
    const element = find(id);
    element.textContent = text;
    element.classList.toggle("good", isGood === true);
    element.classList.toggle("bad", isGood === false);
  }

  /** Compiles, compares and times what is in the editor. */
  async function judge(): Promise<void> {
    clearTimeout(timer);
    if (!chosen()) return;
    status.say("");
    const wgsl = editor.value;
    await exclusively(async (ask) => {
      const show = (id: Result, text: string, isGood?: boolean) => {
        ran.set(id, wgsl);
        write(id, text, isGood);
        dim();
      };
      for (const id of CHECKS) show(id, "–");
      show("compiles", "…");
      const diagnostics = await ask<Diagnostic[]>("check", wgsl);
      editor.mark(diagnostics);
      const errors = diagnostics.filter(({ type }) => type === "error").length;
      if (errors > 0) {
        show("compiles", `No: ${errors} ${errors === 1 ? "error" : "errors"}, listed below the source`, false);
        return;
      }
      show("compiles", "Yes", true);
      show("agrees", "…");
      const agreements = await ask<Agreement[]>("compare", wgsl);
      const bad = agreements.find(({ ok }) => !ok) ?? agreements[0];
      const errorsText = `differs by ${scientific(bad.error)} at most (shipped: ${scientific(bad.shippedError)})`;
      show("agrees", `${bad.ok ? "Yes" : "No"}: ${bad.kernel} ${errorsText}`, bad.ok);
      show("worst", bad.worst ? worstText(bad.worst) : "None differs");
      if (!bad.ok) {
        show("race", "Not timed");
        return;
      }
      show("race", "…");
      show("race", raceText(await ask<Race>("race", wgsl)));
    });
  }

  async function runNet(): Promise<void> {
    clearTimeout(timer);
    status.say("");
    const wgsl = editor.value;
    await exclusively(async (ask) => {
      const show = (text: string, isGood?: boolean) => {
        ran.set("net-run", wgsl);
        write("net-run", text, isGood);
        dim();
      };
      show("…");
      const diagnostics = await ask<Diagnostic[]>("check", wgsl);
      editor.mark(diagnostics);
      if (diagnostics.some(({ type }) => type === "error")) {
        show("It does not compile.", false);
        return;
      }
      const run = await ask<NetRun>("runNet", wgsl);
      show(netText(run), run.ok && !run.first);
    });
  }

  /** Measures all ways to compute what the chosen kernel is for. */
  async function climb(): Promise<void> {
    clearTimeout(timer);
    status.say("");
    const source = chosen();
    ladderButton.disabled = true;
    ladderOf = undefined;
    find("ladder").replaceChildren(make("p", { class: "quiet", role: "status" }, "Measuring …"));
    // What is said of the kernel comes first.
    await idle;
    if (chosen() !== source) {
      clearLadder();
      return;
    }
    await exclusively(async (ask) => {
      try {
        const ladder = await ask<Ladder>("ladder");
        showLadder(ladder, (name) => open(name));
        ladderOf = ladder.operator;
      } finally {
        if (ladderOf === undefined) clearLadder();
        ladderButton.disabled = chosen()?.operator === undefined;
      }
    });
  }

  /** The ladder of another operator is none of the kernel's. */
  function showOperator({ operator }: SourceInfo): void {
    find("ladder-title").textContent = operator ? `Ways to compute ${operator}` : "Ways to compute it";
    ladderButton.disabled = operator === undefined;
    if (operator !== ladderOf || operator === undefined) clearLadder(operator);
  }

  function clearLadder(operator = chosen()?.operator): void {
    ladderOf = undefined;
    const text = operator
      ? "Each variant that applies here is timed on one layer of a net; the plain kernel counts as 1."
      : "None of the nets here has a use for it.";
    find("ladder").replaceChildren(make("p", { class: "quiet" }, text));
  }

  type Ask = <T>(method: Method, ...args: unknown[]) => Promise<T>;

  /** Does one thing at a time; a new one gives up the one before. */
  function exclusively(work: (ask: Ask) => Promise<void>): Promise<void> {
    idle = alone(work);
    return idle;
  }

  async function alone(work: (ask: Ask) => Promise<void>): Promise<void> {
    abandon();
    const controller = new AbortController();
    running = controller;
    const name = choice.value;
    try {
      await work(async <T>(method: Method, ...args: unknown[]) => {
        const gpu = await session.open();
        controller.signal.throwIfAborted();
        const answer = await patiently<T>(gpu, method, [name, ...args], controller.signal);
        controller.signal.throwIfAborted();
        return answer;
      });
    } catch (error) {
      if (running !== controller) return;
      for (const id of RESULTS) {
        if (find(id).textContent === "…") write(id, "–");
      }
      status.fail(error);
    }
  }

  async function patiently<T>(
    gpu: WorkerGpu,
    method: Method,
    args: readonly unknown[],
    signal: AbortSignal,
  ): Promise<T> {
    let isLate = false;
    const limit = setTimeout(() => {
      isLate = true;
      edited.delete(choice.value);
      session.close();
    }, PATIENCE_MS[method]);
    try {
      return await gpu.call<T>(method, args, { signal });
    } catch (error) {
      const seconds = PATIENCE_MS[method] / 1000;
      if (isLate) throw new Error(`the kernel did not end within ${seconds} s: its device was given up. ${NEXT}`);
      if (!isLost(error)) throw error;
      session.close();
      throw toldOf(error);
    } finally {
      clearTimeout(limit);
    }
  }
}

/** The file with its comments, which scripts do without. Lines are the same in both. */
async function readSource({ name, wgsl }: SourceInfo): Promise<string> {
  try {
    const response = await fetch(`kernels/${name}.wgsl`);
    return response.ok ? await response.text() : wgsl;
  } catch {
    return wgsl;
  }
}

const worstText = ({ index, got, wanted }: Worst): string =>
  `y[${index.join(", ")}]: got ${Number(got.toPrecision(7))}, wanted ${Number(wanted.toPrecision(7))}`;

function netText({ ok, difference, replaced, steps, first, edited, shipped }: NetRun): string {
  const logits = `${ok ? "The logits agree" : "The logits differ"} (${ofRms(difference)}).`;
  const layer = first
    ? `${first.layer} is the first layer that differs (${first.kernel}, ${ofRms(first.difference)}).`
    : "No layer differs.";
  return (
    `${logits} ${layer} ${replaced} of ${steps} dispatches are yours: ` +
    `${duration(edited)} per image, shipped ${duration(shipped)}.`
  );
}

const ofRms = (difference: number): string =>
  Number.isFinite(difference) ? `by ${scientific(difference)} of the rms` : "in what is no number";

function raceText({ what, edited, shipped, clock }: Race): string {
  const ratio = shipped / edited;
  const factor = Math.max(ratio, 1 / ratio);
  const verdict =
    factor < 1.05 ? "As fast" : `${factor.toFixed(factor < 10 ? 2 : 0)} times as ${ratio > 1 ? "fast" : "slow"}`;
  return `${verdict}: ${duration(edited)}, shipped ${duration(shipped)} (${what}; ${clock === "gpu" ? "the GPU's clock" : "wall time"})`;
}
