import * as digits from "./digits.ts";
import { find, refuseDrops } from "./dom.ts";
import { Session } from "./session.ts";
import { startTabs } from "./tabs.ts";

/** What a view can use of the page. */
export interface Page {
  /** The device of all views but for the playground and the measurements. */
  readonly session: Session;
  /** Called after the device was lost, when there may be another one. */
  onReopen(start: () => void): void;
  /** Says on the page that there is no WebGPU, if that is what an error says. */
  noteGpu(error: unknown): void;
}

const VIEWS: Readonly<Record<string, () => Promise<{ start(page: Page): void }>>> = {
  // Not loaded later: nothing that is drawn at once may be lost.
  digits: async () => digits,
  images: () => import("./images.ts"),
  time: () => import("./time.ts"),
  kernels: () => import("./kernels.ts"),
};

const starts: (() => void)[] = [];

const page: Page = {
  session: new Session("nets", (error) => {
    // What the library tells programs to do is done here.
    const reason = error.message.replace(/;.*/, "");
    if (page.session.isSteady) reopen(reason);
    else noGpu(`${reason} again and again`);
  }),
  onReopen: (start) => void starts.push(start),
  noteGpu(error) {
    if ((error as { code?: unknown }).code === "NO_ADAPTER") noGpu((error as Error).message);
  },
};

function noGpu(reason: string): void {
  find("no-gpu-reason").textContent = sentence(reason);
  find("no-gpu").hidden = false;
  find("adapter").textContent = "no GPU";
}

async function openDevice(): Promise<boolean> {
  try {
    const { adapter } = await page.session.open();
    find("no-gpu").hidden = true;
    find("adapter").textContent = adapterText(adapter);
    return true;
  } catch (error) {
    page.noteGpu(error);
    return false;
  }
}

/** Opens the device again, and lets the views go on with it. */
async function reopen(reason: string): Promise<void> {
  if (!(await openDevice())) return;
  find("notice-text").textContent = `${sentence(reason)} It was opened again, and what was on it is loaded again.`;
  find("notice").hidden = reason === "";
  for (const start of starts) start();
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

const adapterText = ({ name, software }: { readonly name: string; readonly software: boolean }): string =>
  `Adapter: ${name}${software ? " (software; a GPU is far faster)" : ""}`;

refuseDrops();
find("close-notice").addEventListener("click", () => {
  find("notice").hidden = true;
});
find("try-again").addEventListener("click", () => reopen(""));

const started = new Set<string>();
startTabs(async (name) => {
  if (started.has(name)) return;
  started.add(name);
  (await VIEWS[name]()).start(page);
});
if (navigator.gpu) openDevice();
else noGpu(isSecureContext ? "this browser does not offer it" : "a page of plain http may not use it");
