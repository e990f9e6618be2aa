import type { Shape } from "../../engine/ground/tensor.ts";
import { type Open, requirePeer } from "./engines.ts";

interface OrtTensor {
  readonly data: Float32Array;
}

/** What we use of npm `onnxruntime-node`. */
interface Ort {
  readonly Tensor: new (type: "float32", data: Float32Array, shape: Shape) => OrtTensor;
  readonly InferenceSession: {
    create(
      model: string,
      options: { readonly executionProviders: readonly string[] },
    ): Promise<{ run(inputs: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>;
  };
}

export const open: Open = async ({ provider, model }, { shape, data }) => {
  const { Tensor, InferenceSession } = requirePeer("onnxruntime-node") as Ort;
  const session = await InferenceSession.create(model, { executionProviders: [provider] });
  return async () => (await session.run({ x: new Tensor("float32", data, shape) })).logits.data;
};
