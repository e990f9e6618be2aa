// ONNX models that people have, on our kernels: in Node and in browsers, apart from the other entries.
import type { LoadOptions } from "./engine/definition.ts";
import type { OnnxReaders } from "./engine/graph/onnx_call.ts";
import { UsageError } from "./engine/ground/errors.ts";
import type { Net } from "./engine/net.ts";
import { isFoldable } from "./engine/onnx/constants.ts";
import { type OnnxNet, onnxNet } from "./engine/onnx/import.ts";
import {
  loadNet,
  type OnnxDevice,
  OnnxModel,
  type OnnxModelOptions,
  type OnnxSource,
  openModel,
} from "./engine/onnx/load.ts";
import type { OnnxGraph, OnnxNodes } from "./engine/weights/onnx.ts";
import type { OpenSource } from "./engine/weights/open.ts";
import { onnxReaders } from "./kernels/onnx_import.ts";
import { imagenet } from "./nets/imagenet.ts";

export type { OnnxNet } from "./engine/onnx/import.ts";
export type { OnnxDevice, OnnxModel, OnnxModelOptions, OnnxSource } from "./engine/onnx/load.ts";

/** The operators: those that few nets of images have, and those that hardly any has, are loaded for a model that needs them. */
async function readersFor(model: OnnxGraph): Promise<OnnxReaders> {
  const has = (readers: OnnxReaders, isEnough = (_: string) => false) =>
    operatorsOf(model).every((op) => Object.hasOwn(readers, op) || isEnough(op));
  if (has(onnxReaders)) return onnxReaders;
  const { moreOnnxReaders } = await import("./kernels/onnx_import_more.ts");
  if (has(moreOnnxReaders, isFoldable)) return moreOnnxReaders;
  return (await import("./kernels/onnx_import_rest.ts")).restOnnxReaders;
}

/** The names of a model's operators, and of those in its branches, in whose place they come. */
const operatorsOf = ({ nodes }: OnnxNodes): string[] =>
  nodes.flatMap(({ op, branches }) => (op === "If" ? Object.values(branches).flatMap(operatorsOf) : [op]));

const refuseLocation: OpenSource = async () => {
  throw new UsageError("a path or an address needs something that opens it: readOnnx(source, gpu.host.open)");
};

/** Pictures as torchvision's for ImageNet, and its classes where there are as many. */
const usual = { ...imagenet, labelled: 1000 };

/**
 * Loads an ONNX model of one input, images, as a net: `const net = await loadOnnx(gpu, "resnet50.onnx")`. What the file leaves
 * open, `batch` and `imageSize` say; pictures are prepared as torchvision's for ImageNet unless `transforms` says otherwise.
 * The first output is the logits, or their softmax; every value of the model is a feature under its name, further outputs
 * included. Takes what loadNet() takes and throws what that does, and a UsageError that lists all operators that are not here.
 */
export const loadOnnx = (gpu: OnnxDevice, source: OnnxSource, options: LoadOptions = {}): Promise<Net> =>
  loadNet(gpu, source, options, usual, readersFor);

/** Loads any ONNX model, with its inputs and outputs by their names: for those that are no nets of pictures. */
export const loadOnnxModel = (
  gpu: OnnxDevice,
  source: OnnxSource,
  options: OnnxModelOptions = {},
): Promise<OnnxModel> => OnnxModel.load(gpu, source, options, readersFor);

/**
 * Reads an ONNX model as the definition of a net, weights included: what loadNet(), tune(), train(), exportOnnx() and
 * summarize() of the other entries take. A path or an address is opened by `open`, such as `gpu.host.open`. Close it when no net
 * uses it any more.
 */
export async function readOnnx(source: OnnxSource, open: OpenSource = refuseLocation): Promise<OnnxNet> {
  const checkpoint = await openModel(source, open);
  try {
    return onnxNet(checkpoint, usual, await readersFor(checkpoint.model));
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}
