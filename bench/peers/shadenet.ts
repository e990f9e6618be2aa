import type { Tensor } from "../../engine/ground/tensor.ts";
import type { Gpu } from "../../index.ts";
import type { NetFiles, Open, Run } from "./engines.ts";

export const open: Open = async ({ net, shape, weights, onnx }, input, host) => {
  const { openGpu } = await host.loadShadenet();
  const gpu = await openGpu();
  if (onnx) return openOnnx(gpu, onnx, input);
  const loaded = await gpu.loadNet(net, { weights, batch: shape[0] });
  return async () => (await loaded.run(input)).logits.data;
};

/** Loads a model. Its first output stands for the logits. */
async function openOnnx(gpu: Gpu, { path, input: name }: NonNullable<NetFiles["onnx"]>, input: Tensor): Promise<Run> {
  const { loadOnnxModel } = await import("../../onnx.ts");
  const model = await loadOnnxModel(gpu, path, { shapes: { [name]: input.shape } });
  const [output] = Object.keys(model.outputs);
  return async () => (await model.run({ [name]: input }, [output]))[output].data;
}
