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
    ): Promise<{
      readonly inputNames: readonly string[];
      readonly outputNames: readonly string[];
      run(inputs: Record<string, OrtTensor>, outputs: readonly string[]): Promise<Record<string, OrtTensor>>;
    }>;
  };
}

export const open: Open = async (job, input, host) =>
  openSession((await host.load("onnxruntime-node")) as Ort, job, input);

export async function openSession(
  { Tensor, InferenceSession }: Ort,
  { provider, model, onnx }: Job,
  { shape, data }: Tensor,
): Promise<Run> {
  const session = await InferenceSession.create(onnx?.path ?? model, { executionProviders: [provider] });
  const [[input], [output]] = [session.inputNames, session.outputNames];
  return async () => (await session.run({ [input]: new Tensor("float32", data, shape) }, [output]))[output].data;
}
