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
export { type EngineNeeds, type LayerSummary, type Summary, summarize } from "./engine/summary.ts";
export { type Shape, type Tensor, tensor } from "./engine/tensor.ts";
export { arraysCheckpoint, blobSource, bytesSource, openCheckpoint } from "./engine/weights.ts";
export * from "./kernels/index.ts";
export { alexnet, alexnet2012 } from "./nets/alexnet.ts";
export { batchNormLayer, convLayer, linearLayer, named } from "./nets/layers.ts";
export { lenet5 } from "./nets/lenet.ts";
export { resnet18, resnet34, resnet50, resnet101, resnet152 } from "./nets/resnet.ts";
export { vgg11, vgg11_bn, vgg11_lrn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg16_c, vgg19, vgg19_bn } from "./nets/vgg.ts";
