// Everything that neither Node nor a choice of nets decides: import from here for the smallest bundle.
export type { ByteSource, Checkpoint, TensorInfo } from "./engine/checkpoint.ts";
export * from "./engine/errors.ts";
export { type AdapterSummary, type Gpu, type OpenOptions, openGpu } from "./engine/gpu.ts";
export { type Derivation, Graph, type Node, type Value } from "./engine/graph.ts";
export { type Image, preprocess, resizeImage, type Transforms } from "./engine/image.ts";
export { defineKernel, evaluateReference, type Kernel, type KernelSpec, specialize } from "./engine/kernel.ts";
export type { LoadOptions, Net, NetDefinition, NetOptions, Prediction, Progress, Weights } from "./engine/net.ts";
export { makePlan, type Plan } from "./engine/plan.ts";
export { encodeSafetensors, openSafetensors } from "./engine/safetensors.ts";
export { type Shape, type Tensor, tensor } from "./engine/tensor.ts";
export { arraysCheckpoint, blobSource, bytesSource, openCheckpoint } from "./engine/weights.ts";
export * from "./kernels/index.ts";
export { convLayer, linearLayer, named } from "./nets/layers.ts";
export { lenet5 } from "./nets/lenet.ts";
