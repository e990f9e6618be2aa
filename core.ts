// Everything that neither Node nor a choice of nets decides: import from here for the smallest bundle.

export { type AdapterSummary, type Gpu, type OpenOptions, openGpu } from "./engine/gpu.ts";
export { type Derivation, Graph, type Node, type Value } from "./engine/graph/graph.ts";
export { defineKernel, evaluateReference, type Kernel, type KernelSpec, specialize } from "./engine/graph/kernel.ts";
export { makePlan, type Plan } from "./engine/graph/plan.ts";
export { type EngineNeeds, type LayerSummary, type Summary, summarize } from "./engine/graph/summary.ts";
export * from "./engine/ground/errors.ts";
export { type Shape, type Tensor, tensor } from "./engine/ground/tensor.ts";
export { type Image, preprocess, resizeImage, type Transforms } from "./engine/image/image.ts";
export type { Picture } from "./engine/image/picture.ts";
export type { LoadOptions, Net, NetDefinition, NetOptions, Prediction, Progress, Weights } from "./engine/net.ts";
export type { ByteSource, Checkpoint, TensorInfo } from "./engine/weights/checkpoint.ts";
export { encodeSafetensors, openSafetensors } from "./engine/weights/safetensors.ts";
export { arraysCheckpoint, blobSource, bytesSource, openCheckpoint } from "./engine/weights/sources.ts";
export * from "./kernels/index.ts";
export { alexnet, alexnet2012 } from "./nets/alexnet.ts";
export { batchNormLayer, convLayer, linearLayer, named } from "./nets/layers.ts";
export { lenet5 } from "./nets/lenet.ts";
export { resnet18, resnet34, resnet50, resnet101, resnet152 } from "./nets/resnet.ts";
export { vgg11, vgg11_bn, vgg11_lrn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg16_c, vgg19, vgg19_bn } from "./nets/vgg.ts";
