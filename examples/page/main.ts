import type { WorkerGpu } from "../../worker.ts";
import * as digits from "./digits.ts";
import { find, make, nextTask, refuseDrops } from "./dom.ts";
import type { Recorded } from "./recorded.ts";
import { Session } from "./session.ts";
import { isGivenUp, reasonOf } from "./status.ts";
import { startTabs } from "./tabs.ts";

/** What a view can use of the page. */
export interface Page {
  /** The device of all views but for the playground and the measurements. */
  readonly session: Session;
  /** Called when another worker has taken the place of one that is gone: what a view had there is loaded again. */
  onReopen(start: () => void): void;
  /** A net that was trained here, for the digits to be read by; whoever takes them later is told of the last one. */
  trained(net: TrainedNet): void;
  onTrained(take: (net: TrainedNet) => void): void;
}

export interface TrainedNet {
  /** A checkpoint of LeNet-5. */
  readonly weights: Blob;
  /** For people. */
  readonly name: string;
}

const VIEWS: Readonly<Record<string, () => Promise<{ start(page: Page): void }>>> = {
  // Not loaded later: nothing that is drawn at once may be lost.
  digits: async () => digits,
  train: () => import("./train.ts"),
  teach: () => import("./teach.ts"),
  images: () => import("./images.ts"),
  time: () => import("./time.ts"),
  kernels: () => import("./kernels.ts"),
};

const starts: (() => void)[] = [];
let wasOpen = false;
let lastTrained: TrainedNet | undefined;
let takeTrained: ((net: TrainedNet) => void) | undefined;

const page: Page = {
  session: new Session("nets", async (error) => {
    if (!(await openDevice())) return;
    find("notice-text").textContent = `${reasonOf(error)}. It was opened again, and all goes on.`;
    find("notice").hidden = false;
  }),
  onReopen: (start) => void starts.push(start),
  trained(net) {
    lastTrained = net;
    takeTrained?.(net);
  },
  onTrained(take) {
    takeTrained = take;
    if (lastTrained) take(lastTrained);
  },
};

/** Opens the device, or again after a loss; false where that cannot be done, which the page says then. */
async function openDevice(): Promise<boolean> {
  try {
    const gpu = await page.session.open();
    const adapter = await gpu.call<WorkerGpu["adapter"]>("ready");
    wasOpen = true;
    find("no-gpu").hidden = true;
    for (const panel of panels()) panel.classList.remove("recorded");
    find("adapter").replaceChildren(...adapterText(adapter));
    return true;
  } catch (error) {
    if (!isGivenUp(error)) noGpu(reasonOf(error));
    return false;
  }
}

function noGpu(reason: string): void {
  find("no-gpu-reason").textContent = `${reason}.`;
  find("no-gpu").hidden = false;
  find("adapter").textContent = "no GPU";
  // What was open has left its views as they are.
  if (!wasOpen) showRecordings();
}

const panels = (): Iterable<HTMLElement> => document.querySelectorAll<HTMLElement>("[role=tabpanel]");

async function showRecordings(): Promise<void> {
  const { showRecording } = await import("./recorded.ts");
  if (wasOpen) return;
  for (const panel of panels()) showRecording(panel, panel.id.replace("panel-", "") as Recorded);
}

/** Opens another worker, and lets the views go on with it. */
async function reopen(): Promise<void> {
  page.session.close();
  find("notice").hidden = true;
  if (await openDevice()) for (const start of starts) start();
}

const adapterText = ({ name, software }: WorkerGpu["adapter"]): (Node | string)[] =>
  software
    ? [`Adapter: ${name} (software`, make("span", { class: "detail" }, "; a GPU is far faster"), ")"]
    : [`Adapter: ${name}`];

refuseDrops();
find("close-notice").addEventListener("click", () => {
  find("notice").hidden = true;
});
find("try-again").addEventListener("click", reopen);

const started = new Set<string>();
startTabs(async (name) => {
  if (started.has(name)) return;
  started.add(name);
  const view = await VIEWS[name]();
  // Its script was just evaluated, in the same task.
  await nextTask();
  view.start(page);
  // Nothing is pressed in vain before.
  find(`panel-${name}`).inert = false;
});
if (navigator.gpu) openDevice();
else noGpu(isSecureContext ? "This browser has no WebGPU" : "A page of plain http may not use WebGPU");
