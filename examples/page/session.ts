import type { GpuError } from "../../engine/ground/errors.ts";
import { openWorkerGpu, type WorkerGpu } from "../../worker.ts";

/** A device that is lost more often than this within a minute is not opened again unasked. */
const MOST_LOSSES = 3;

/** A GPU in a worker of its own, opened when it is first asked for, and again after it was lost. */
export class Session {
  #gpu: Promise<WorkerGpu> | undefined;
  /** When it was lost, within the last minute. */
  #losses: number[] = [];
  readonly #name: string;
  readonly #onLost: (error: GpuError) => void;

  /**
   * `name` is the worker's, for the browser's tools. `onLost` is told when the device is lost; whoever used it asks for
   * another one by open().
   */
  constructor(name: string, onLost: (error: GpuError) => void = () => {}) {
    this.#name = name;
    this.#onLost = onLost;
  }

  /** Throws what openGpu() throws. */
  open(): Promise<WorkerGpu> {
    if (this.#gpu) return this.#gpu;
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: this.#name });
    const gpu = openWorkerGpu({ worker, onLost: (error) => this.#lose(gpu, error) });
    this.#gpu = gpu;
    gpu.catch(() => {
      if (this.#gpu === gpu) this.#gpu = undefined;
    });
    return gpu;
  }

  /** Whether to go on by itself after a loss: not where the device is lost again and again. */
  get isSteady(): boolean {
    return this.#losses.length <= MOST_LOSSES;
  }

  async #lose(gpu: Promise<WorkerGpu>, error: GpuError): Promise<void> {
    if (this.#gpu !== gpu) return;
    this.#gpu = undefined;
    const now = performance.now();
    this.#losses = [...this.#losses.filter((time) => now - time < 60_000), now];
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
