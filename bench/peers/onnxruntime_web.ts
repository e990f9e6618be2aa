import type { Open } from "./engines.ts";
import { type Ort, openSession } from "./onnxruntime.ts";

/** What only npm `onnxruntime-web` has. */
interface OrtWeb extends Ort {
  readonly env: { readonly wasm: { numThreads: number } };
}

export const open: Open = async (job, input, host) => {
  const ort = (await host.load(`onnxruntime-web/${job.provider}`)) as OrtWeb;
  // By itself it takes half of the cores, four at most; in Node it takes all.
  ort.env.wasm.numThreads = navigator.hardwareConcurrency;
  await host.provideWebGpu();
  const run = await openSession(ort, job, input);
  return () => host.readBack(run(), job.software);
};
