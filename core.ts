/// <reference lib="esnext.disposable" preserve="true" />
// Everything that neither Node nor a choice of nets decides: import from here for the smallest bundle.
import type { Host } from "./engine/device/host.ts";
import { type Gpu, type OpenOptions, openGpu as open } from "./engine/gpu.ts";
import type { mnist as readMnist } from "./engine/training/mnist.ts";
import { browserHost } from "./engine/web/host.ts";

export type { AnyNet, Given, LoadOptions, NetDefinition, NetOptions, Nets } from "./engine/definition.ts";
export type { AdapterKind, AdapterSummary, Device, DeviceOptions } from "./engine/device/device.ts";
export type { Host } from "./engine/device/host.ts";
export type { DeviceTensor } from "./engine/device/resident.ts";
export type { Gpu, OpenOptions } from "./engine/gpu.ts";
export { defineKernel, makePlan, specialize } from "./engine/graph/checked.ts";
export { type Choice, type Derivation, Graph, type Node, type Role } from "./engine/graph/graph.ts";
export type { AnyKernel, Call, Example, Grid, Kernel, KernelSpec, Named, Part } from "./engine/graph/kernel.ts";
export type { Limits, ParamPlan, Place, Plan, Range, Step } from "./engine/graph/plan.ts";
export type { Value } from "./engine/graph/value.ts";
export type { AnyVariant, Matrices, Rates, Setting, Traits, Variant, Variants } from "./engine/graph/variant.ts";
export type { BindingType, NumberType, Reflection } from "./engine/graph/wgsl.ts";
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
export type { Dtype, Progress, Watch } from "./engine/ground/options.ts";
export { type Shape, type Tensor, tensor } from "./engine/ground/tensor.ts";
export type * from "./engine/ground/webgpu.ts";
export { type Image, preprocess, resizeImage } from "./engine/image/image.ts";
export type { Orientation } from "./engine/image/orientation.ts";
export type { Picture, Shown } from "./engine/image/picture.ts";
export type { PictureOptions } from "./engine/image/pictures.ts";
export type { Interpolation, Transforms } from "./engine/image/transforms.ts";
export type { ClassifyOptions, Net, Prediction, RunInput, RunOptions, RunResult } from "./engine/net.ts";
export { type EngineNeeds, type LayerSummary, type Summary, summarize } from "./engine/summary.ts";
export { arrays, type Dataset, type Examples } from "./engine/training/data.ts";
export type { IdxFile } from "./engine/training/mnist.ts";
export { cosineSchedule, oneCycleSchedule, type Schedule, stepSchedule } from "./engine/training/schedules.ts";
export type {
  EpochResult,
  Evaluation,
  FitOptions,
  FitProgress,
  OptimizerOptions,
  StepResult,
  Trainer,
  TrainOptions,
} from "./engine/training/trainer.ts";
export type { ByteSource, Checkpoint, TensorInfo } from "./engine/weights/checkpoint.ts";
export type { OpenSource, PublishedFile, Weights } from "./engine/weights/open.ts";
export { encodeSafetensors, openSafetensors } from "./engine/weights/safetensors.ts";
export { arraysCheckpoint, blobSource, bytesSource, openCheckpoint } from "./engine/weights/sources.ts";
export type { Activated } from "./kernels/activation.ts";
export type { Conv2dOptions } from "./kernels/conv2d/geometry.ts";
export * from "./kernels/index.ts";
export type { LayerNormOptions } from "./kernels/norm/layernorm.ts";
export type { LrnOptions } from "./kernels/norm/lrn.ts";
export type { Padding, Pair } from "./kernels/options.ts";
export type { AvgPool2dOptions } from "./kernels/pool2d/avgpool2d.ts";
export type { MaxPool2dOptions } from "./kernels/pool2d/maxpool2d.ts";
export { evaluateReference } from "./kernels/references.ts";
export type { RollOptions } from "./kernels/roll.ts";
export type { SliceOptions } from "./kernels/slice.ts";
export type { AlexNet2012Options } from "./nets/alexnet.ts";
export * from "./nets/definitions.ts";
export type { InceptionOptions } from "./nets/inception_input.ts";
export { batchNormLayer, convLayer, linearLayer, named } from "./nets/layers.ts";
export type { MobileNetV2Options } from "./nets/mobilenet_v2.ts";
export type { MobileNetV3Options } from "./nets/mobilenet_v3.ts";
export type { ResNetOptions } from "./nets/resnet.ts";
export type { VggOptions } from "./nets/vgg.ts";
export type { VisionTransformerOptions } from "./nets/vision_transformer.ts";

/** Opens the browser's GPU, for the nets and kernels that it is given. See engine/gpu.ts. */
export const openGpu = (options: OpenOptions = {}, host: Host = browserHost): Promise<Gpu> => open(options, host);

/** MNIST's digits as a dataset, from the bytes of its files. See engine/training/mnist.ts. */
export const mnist: typeof readMnist = async (...given) => (await import("./engine/training/mnist.ts")).mnist(...given);
