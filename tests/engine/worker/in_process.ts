// The page's side and the worker's of shadenet/worker in one process, without a browser: what is sent is cloned all the same.
import { serveGpu } from "../../../browser.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { openGpu } from "../../../index.ts";

interface Port {
  onmessage?: ((event: { data: unknown }) => void) | null;
  postMessage(message: unknown, transfer?: []): void;
}

/** What the worker has as its global object. */
export const inside = globalThis as unknown as Port;

/** A worker whose openGpu() is Node's, which it closes as it ends. */
export function startWorker(): Worker {
  let opened: Gpu | undefined;
  const serve = () =>
    serveGpu(async ({ powerPreference, limits, onLost }) => {
      opened = await openGpu({ powerPreference, limits, onLost, kernelHash: undefined });
      return opened;
    });
  let isServed = false;
  const outside: Port & { terminate(): void } = {
    postMessage(...sent) {
      if (!isServed) {
        inside.postMessage = (...back) => deliver(outside, back);
        serve();
      }
      isServed = true;
      deliver(inside, sent);
    },
    terminate: () => opened?.close(),
  };
  return outside as unknown as Worker;
}

function deliver(to: Port, [message, transfer = []]: [unknown, []?]): void {
  const data = structuredClone(message, { transfer });
  setImmediate(() => to.onmessage?.({ data }));
}

Object.assign(globalThis, { Worker: class {}, location: { href: "http://localhost/" } });
if (!globalThis.navigator) Object.assign(globalThis, { navigator: {} });
