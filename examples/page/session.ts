import type { GpuError } from "../../engine/ground/errors.ts";
import { openWorkerGpu, type WorkerGpu } from "../../worker.ts";

/** A GPU in a worker of its own, opened when it is first asked for, and again after close(). */
export class Session {
  #gpu: Promise<WorkerGpu> | undefined;
  readonly #name: string;
  readonly #onLost: ((error: GpuError) => void) | undefined;

  /**
   * `name` is the worker's, for the browser's tools. `onLost` is told when the device is lost, which the library opens
   * again there. Calls that fail with DEVICE_LOST nevertheless go on failing so until the session is closed: the library
   * has given up, or the worker has ended.
   */
  constructor(name: string, onLost?: (error: GpuError) => void) {
    this.#name = name;
    this.#onLost = onLost;
  }

  /** Throws what openGpu() throws. */
  open(): Promise<WorkerGpu> {
    if (this.#gpu) return this.#gpu;
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: this.#name });
    const gpu = openWorkerGpu({ worker, onLost: this.#onLost });
    this.#gpu = gpu;
    gpu.catch(() => {
      if (this.#gpu === gpu) this.#gpu = undefined;
    });
    return gpu;
  }

  /** Ends the worker and all that runs in it, whatever it does. */
  close(): void {
    const gpu = this.#gpu;
    this.#gpu = undefined;
    gpu?.then((open) => open.close()).catch(() => {});
  }
}
