import type { GpuError } from "../../engine/errors.ts";
import { openWorkerGpu, type WorkerGpu } from "../../worker.ts";

/** A device that was lost again within this time is not opened again unasked. */
const TWICE_MS = 3000;

/** A GPU in a worker of its own, opened when it is first asked for, and again after it was lost. */
export class Session {
  #gpu: Promise<WorkerGpu> | undefined;
  #opened = 0;
  readonly #onLost: (error: GpuError) => void;

  /** `onLost` is told when the device is lost; whoever used it asks for another one by open(). */
  constructor(onLost: (error: GpuError) => void) {
    this.#onLost = onLost;
  }

  /** Throws what openGpu() throws. */
  open(): Promise<WorkerGpu> {
    if (this.#gpu) return this.#gpu;
    this.#opened = performance.now();
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const gpu = openWorkerGpu({ worker, onLost: (error) => this.#lose(gpu, error) });
    this.#gpu = gpu;
    gpu.catch(() => {
      if (this.#gpu === gpu) this.#gpu = undefined;
    });
    return gpu;
  }

  /** Whether to go on by itself after a loss: not where the device is lost as soon as it is used. */
  get isSteady(): boolean {
    return performance.now() - this.#opened > TWICE_MS;
  }

  async #lose(gpu: Promise<WorkerGpu>, error: GpuError): Promise<void> {
    if (this.#gpu !== gpu) return;
    this.#gpu = undefined;
    (await gpu).close();
    this.#onLost(error);
  }

  /** Ends the worker and all that runs in it, whatever it does. */
  close(): void {
    const gpu = this.#gpu;
    this.#gpu = undefined;
    gpu?.then((open) => open.close()).catch(() => {});
  }
}
