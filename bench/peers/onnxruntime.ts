import type { Shape, Tensor } from "../../engine/ground/tensor.ts";
import type { Job, Open, Run } from "./engines.ts";

interface OrtTensor {
  readonly data: Float32Array;
}

/** What we use of npm `onnxruntime-node` and `onnxruntime-web`. */
export interface Ort {
  readonly Tensor: new (type: "float32", data: Float32Array, shape: Shape) => OrtTensor;
  readonly InferenceSession: {
    create(
      model: string,
      options: { readonly executionProviders: readonly string[] },
    ): Promise<{ run(inputs: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>> }>;
  };
}

export const open: Open = async (job, input, host) =>
  openSession((await host.load("onnxruntime-node")) as Ort, job, input);

export async function openSession(
  { Tensor, InferenceSession }: Ort,
  { provider, model }: Job,
  { shape, data }: Tensor,
): Promise<Run> {
  const session = await InferenceSession.create(model, { executionProviders: [provider] });
  return async () => (await session.run({ x: new Tensor("float32", data, shape) })).logits.data;
}
