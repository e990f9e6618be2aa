/// <reference lib="esnext.disposable" preserve="true" />
// The library in a worker of its own: the page stays free, and loads no more than this until the worker runs.
import { checkObject, UsageError } from "./engine/ground/errors.ts";
import { openInWorker, type WorkerGpu, type WorkerOptions } from "./engine/worker/client.ts";

export type { LoadOptions } from "./engine/definition.ts";
export type { Span } from "./engine/device/profile.ts";
export {
  DisposedError,
  FileError,
  GpuError,
  ImageError,
  ShadenetError,
  ShapeError,
  UsageError,
  WeightsError,
} from "./engine/ground/errors.ts";
export type { Progress } from "./engine/ground/options.ts";
export type { Tensor } from "./engine/ground/tensor.ts";
export type * from "./engine/ground/webgpu.ts";
export type { Picture } from "./engine/image/picture.ts";
export type { Prediction } from "./engine/net.ts";
export type { Weights } from "./engine/weights/open.ts";
export type { CallOptions, WorkerGpu, WorkerNet, WorkerOptions } from "./engine/worker/client.ts";
export type { NetProfile } from "./engine/worker/messages.ts";

/**
 * Opens the browser's GPU in a worker, with the API of openGpu(): loadNet, run, classify, dispose, close. Nothing of it
 * takes the page's own thread for long. Errors keep their class, code and message; a worker that ends unasked counts as a
 * lost device. Throws what openGpu() throws, and a FileError when the worker's script cannot be loaded.
 *
 * The script is worker_script.js beside this module, on another origin too. Vite (before 8 with
 * `worker: { format: "es" }` and `optimizeDeps: { exclude: ["shadenet"] }`), webpack, Next and plain pages find it by
 * themselves; with esbuild make it an entry of its own, `esbuild app.js worker_script=shadenet/worker-script ...`. Or give a worker that you have made of it, or of a module of
 * yours that calls serveGpu(openGpu, methods).
 */
export async function openWorkerGpu(given: WorkerOptions & { readonly worker?: Worker } = {}): Promise<WorkerGpu> {
  checkObject("openWorkerGpu(): options", given);
  const { worker, ...options } = given;
  if (!globalThis.Worker) throw new UsageError("there are no workers here: use openGpu() of shadenet");
  return openInWorker(worker ?? ownWorker(), options);
}

function ownWorker(): Worker {
  try {
    return new Worker(new URL("./worker_script.js", import.meta.url), { type: "module" });
  } catch (cause) {
    const { name } = cause as Error;
    // A script of another origin, such as a CDN's, has to be imported by one of the page's own. That is for no bundler,
    // which would take a URL beside import.meta.url for a file to bundle.
    const { url } = import.meta;
    if (name === "SecurityError") return importing(new URL("./worker_script.js", url));
    throw new UsageError(
      "the worker's script cannot be found from here, since this bundle does not say where it is (import.meta.url): " +
        "give `worker`, made of shadenet/worker-script",
      { cause },
    );
  }
}

function importing(script: URL): Worker {
  const url = URL.createObjectURL(new Blob([`import ${JSON.stringify(script.href)};`], { type: "text/javascript" }));
  try {
    return new Worker(url, { type: "module" });
  } finally {
    // The worker fetches it before anything else; some browsers have not done so when the constructor returns.
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}
