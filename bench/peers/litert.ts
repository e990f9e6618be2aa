import type { Shape } from "../../engine/ground/tensor.ts";
import type { Open } from "./engines.ts";
import { toNhwc } from "./input.ts";

interface LiteRtTensor {
  data(): Promise<Float32Array>;
  delete(): void;
}

/** What we use of npm `@litertjs/core`. */
interface LiteRt {
  loadLiteRt(folder: string, options: { readonly threads: boolean }): Promise<unknown>;
  loadAndCompile(
    model: string,
    options: { readonly accelerator: string; readonly gpuOptions?: { readonly precision: "fp32" } },
  ): Promise<{
    readonly options: { readonly accelerator: string };
    readonly isFullyAccelerated: boolean;
    run(input: LiteRtTensor): Promise<LiteRtTensor[]>;
  }>;
  readonly Tensor: new (data: Float32Array, shape: Shape) => LiteRtTensor;
}

/** Where its WebAssembly is. */
const FOLDER = "/bench/peers/node_modules/@litertjs/core/wasm/";

export const open: Open = async ({ provider, tflite, software }, { shape, data }, host) => {
  const { loadLiteRt, loadAndCompile, Tensor } = (await host.load("@litertjs/core")) as LiteRt;
  await host.provideWebGpu();
  await loadLiteRt(FOLDER, { threads: provider === "wasm" });
  const model = await loadAndCompile(tflite, { accelerator: provider, gpuOptions: { precision: "fp32" } });
  // What it cannot run on the adapter, it computes on the CPU, and warns on the console.
  if (provider === "webgpu" && !(model.options.accelerator === provider && model.isFullyAccelerated)) {
    throw new Error("LiteRT.js does not run the whole net on WebGPU");
  }
  const [n, c, h, w] = shape;
  const pixels = toNhwc(data, shape);
  return async () => {
    const x = new Tensor(pixels, [n, h, w, c]);
    const [logits] = await model.run(x);
    const values = await host.readBack(logits.data(), software);
    for (const tensor of [x, logits]) tensor.delete();
    return values;
  };
};
