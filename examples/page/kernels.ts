import type { WorkerGpu } from "../../worker.ts";
import { find, make } from "./dom.ts";
import { Editor } from "./editor.ts";
import { duration, scientific } from "./format.ts";
import type { Page } from "./main.ts";
import { Session } from "./session.ts";
import { isLost, reasonOf, Status } from "./status.ts";
import type { Agreement, Diagnostic, NetRun, Race, SourceInfo } from "./worker/playground.ts";

/** From the last key to the compiler. */
const PAUSE_MS = 400;

/** What takes longer may never end: the device is given up. Compiling and running a net may take a while. */
const PATIENCE_MS = { check: 20_000, compare: 30_000, race: 30_000, runNet: 120_000 };

const NAMES: Readonly<Record<string, string>> = { resnet18: "ResNet-18", alexnet2012: "AlexNet", lenet5: "LeNet-5" };

/** Where the results stand. */
const CHECKS = ["compiles", "agrees", "race", "net-run"];

const NEXT = "The next change, or Undo, opens it again";

/** What was lost may have been lost by the kernel: that is not run again unasked. */
const toldOf = (lost: unknown): Error => new Error(`${reasonOf(lost)}. That was the playground's own. ${NEXT}`);

/** The kernels' sources, to be changed. They run on a device of their own, which may be lost. */
export function start(page: Page): void {
  const status = new Status(find("kernels-status"), find("kernels-problem"));
  const session = new Session("playground", (error) => status.fail(toldOf(error)));
  const editor = new Editor(find("editor"), edit);
  const choice = find("kernel", HTMLSelectElement);
  const runButton = find("run-net", HTMLButtonElement);
  let sources: readonly SourceInfo[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: AbortController | undefined;

  choice.addEventListener("change", choose);
  find("reset").addEventListener("click", choose);
  runButton.addEventListener("click", runNet);
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
        make("optgroup", { label }, ...members.map(({ name }) => make("option", {}, name))),
      ),
    );
    choice.value = sources.some(({ name }) => name === "relu") ? "relu" : sources[0].name;
    choose();
  }

  const chosen = (): SourceInfo | undefined => sources.find(({ name }) => name === choice.value);

  async function choose(): Promise<void> {
    const source = chosen();
    if (!source) return;
    abandon();
    const net = NAMES[source.net ?? ""];
    runButton.textContent = net ? `Run ${net} with it` : "No net here runs it";
    runButton.disabled = true;
    find("net-run-title").textContent = `${net ?? "A net"} with it`;
    const text = await readSource(source);
    if (chosen() !== source) return;
    editor.value = text;
    runButton.disabled = !net;
    judge();
  }

  function edit(): void {
    abandon();
    timer = setTimeout(judge, PAUSE_MS);
  }

  /** What was said, or would be, is of another source. */
  function abandon(): void {
    clearTimeout(timer);
    running?.abort();
    status.clear();
    for (const id of CHECKS) show(id, "–");
  }

  /** Compiles, compares and times what is in the editor. */
  async function judge(): Promise<void> {
    const source = chosen();
    if (!source) return;
    await exclusively(async (ask) => {
      for (const id of CHECKS.slice(0, 3)) show(id, "–");
      const wgsl = editor.value;
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
    await exclusively(async (ask) => {
      show("net-run", "…");
      const wgsl = editor.value;
      const diagnostics = await ask<Diagnostic[]>("check", wgsl);
      editor.mark(diagnostics);
      if (diagnostics.some(({ type }) => type === "error")) {
        show("net-run", "It does not compile.", false);
        return;
      }
      const { ok, difference, replaced, steps, edited, shipped } = await ask<NetRun>("runNet", wgsl);
      const logits = ok ? "The logits agree" : "The logits differ";
      show(
        "net-run",
        `${logits} (${scientific(difference)} of their rms). ${replaced} of ${steps} dispatches are yours: ` +
          `${duration(edited)} per image, shipped ${duration(shipped)}.`,
        ok,
      );
    });
  }

  type Ask = <T>(method: keyof typeof PATIENCE_MS, wgsl: string) => Promise<T>;

  /** Does one thing at a time; a new one gives up the one before. */
  async function exclusively(work: (ask: Ask) => Promise<void>): Promise<void> {
    running?.abort();
    const controller = new AbortController();
    running = controller;
    const name = choice.value;
    status.clear();
    try {
      await work(async (method, wgsl) => {
        const gpu = await session.open();
        controller.signal.throwIfAborted();
        return patiently(gpu, method, [name, wgsl], controller.signal);
      });
    } catch (error) {
      if (running !== controller) return;
      for (const id of CHECKS) {
        if (find(id).textContent === "…") show(id, "–");
      }
      status.fail(error);
    }
  }

  async function patiently<T>(
    gpu: WorkerGpu,
    method: keyof typeof PATIENCE_MS,
    args: readonly unknown[],
    signal: AbortSignal,
  ): Promise<T> {
    let isLate = false;
    const limit = setTimeout(() => {
      isLate = true;
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

function show(id: string, text: string, isGood?: boolean): void {
  const element = find(id);
  element.textContent = text;
  element.classList.toggle("good", isGood === true);
  element.classList.toggle("bad", isGood === false);
}

function raceText({ what, edited, shipped, clock }: Race): string {
  const ratio = shipped / edited;
  const factor = Math.max(ratio, 1 / ratio);
  const verdict =
    factor < 1.05 ? "As fast" : `${factor.toFixed(factor < 10 ? 2 : 0)} times as ${ratio > 1 ? "fast" : "slow"}`;
  return `${verdict}: ${duration(edited)}, shipped ${duration(shipped)} (${what}; ${clock === "gpu" ? "the GPU's clock" : "wall time"})`;
}
