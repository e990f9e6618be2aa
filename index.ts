// The library in Node.

import type { AnyNet, Given } from "./engine/definition.ts";
import { findNet } from "./engine/definition.ts";
import { type Gpu, type OpenOptions, openGpu as open } from "./engine/gpu.ts";
import { checkObject } from "./engine/ground/errors.ts";
import { nodeHost } from "./engine/node/dawn.ts";
import { type FolderOptions, type ImageFolder, imageFolder as openFolder } from "./engine/node/image_folder.ts";
import { encodeOnnx } from "./engine/node/onnx.ts";
import type { ExportOptions } from "./engine/onnx/export.ts";
import { onnxOperators } from "./kernels/onnx.ts";
import { rates } from "./kernels/rates.ts";
import { variants } from "./kernels/variants.ts";
import { wgslHash } from "./kernels/wgsl_hash.ts";
import { nets } from "./nets/index.ts";

export * from "./core.ts";
export { type DecodeOptions, decodeImage, readImage } from "./engine/node/decode.ts";
export { fileSource } from "./engine/node/files.ts";
export type { FolderOptions, ImageFolder } from "./engine/node/image_folder.ts";
export type { ExportOptions } from "./engine/onnx/export.ts";
export { type Timed, type Tuned, type TuneOptions, tune } from "./engine/tuning/tune.ts";
// For programs of pages, whose types and server-side builds come from this entry.
export { type Context, type Method, serveGpu } from "./engine/worker/server.ts";
export { rates } from "./kernels/rates.ts";
export { variants } from "./kernels/variants.ts";
export { nets } from "./nets/index.ts";

/** Opens the best adapter: the system's GPU, else a software one. loadNet() knows every net by name. See engine/gpu.ts. */
export async function openGpu(options: OpenOptions = {}): Promise<Gpu> {
  checkObject("openGpu(): options", options);
  return open(
    {
      nets,
      variants,
      rates,
      kernelHash: wgslHash,
      training: () => import("./kernels/training/table.ts"),
      onnx: () => import("./onnx.ts"),
      ...options,
    },
    nodeHost,
  );
}

/**
 * A net with its weights as an ONNX model, for other runtimes: the bytes of its file, a few megabytes at a time, as
 * `await writeFile("resnet18.onnx", exportOnnx("resnet18", { weights: "resnet18.pth" }))` takes them. It maps x
 * [N, C, H, W] to the logits, or to the `outputs` that are asked for. Nothing is read before the first bytes are;
 * then it throws what loadNet() throws for a net and its weights, and a UsageError for what ONNX cannot hold: a kernel
 * that it has no operator for, a model over 2 GiB.
 */
export const exportOnnx = (
  net: string | AnyNet,
  options: ExportOptions & { readonly [option: string]: unknown } = {},
): AsyncGenerator<Uint8Array, void, undefined> =>
  encodeOnnx(typeof net === "string" ? findNet(nets, net) : net, options, onnxOperators, nets);

/**
 * The pictures of a folder that has a folder for each class, as a dataset to train a net on or to evaluate it:
 * `await imageFolder("flowers/train", "resnet18", { weights: "IMAGENET1K_V1" })`. See engine/node/image_folder.ts.
 */
export const imageFolder = async (
  path: string,
  net: string | AnyNet,
  options: FolderOptions & Given = {},
): Promise<ImageFolder> => openFolder(path, typeof net === "string" ? findNet(nets, net) : net, options);
