import { UsageError } from "../ground/errors.ts";
import type { Tensor } from "../ground/tensor.ts";
import type { AnyNet, LoadOptions, OpenSource, PublishedWeights, Weights } from "../net.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { arraysCheckpoint, blobSource, bytesSource, openCheckpoint } from "./sources.ts";

/** The entry of the net's own table, if the weights are one of its names. */
export function publishedWeights(definition: AnyNet, weights: Weights | undefined): PublishedWeights | undefined {
  if (typeof weights !== "string" || !Object.hasOwn(definition.weights, weights)) return undefined;
  return definition.weights[weights];
}

/**
 * Opens weights whatever they are given as; the net's own if none are given. `open` opens a path or URL.
 * Throws a UsageError when a net without its own is given none.
 */
export async function openWeights(
  definition: AnyNet,
  options: Pick<LoadOptions, "weights" | "signal" | "onProgress">,
  open: OpenSource,
): Promise<Checkpoint> {
  const weights = options.weights ?? definition.defaultWeights;
  if (weights === undefined) {
    throw new UsageError(
      `${definition.name} comes without weights: give a .safetensors or .pth file, a URL or an object of arrays`,
    );
  }
  if (typeof weights === "string" || weights instanceof URL) {
    const published = publishedWeights(definition, weights);
    return openCheckpoint(await open(published?.url ?? weights, { ...options, sha256: published?.sha256 }));
  }
  if (weights instanceof Uint8Array || weights instanceof ArrayBuffer) return openCheckpoint(bytesSource(weights));
  if (weights instanceof Blob)
    return openCheckpoint(blobSource(weights, "name" in weights ? String(weights.name) : "the given blob"));
  if ("tensors" in weights && weights.tensors instanceof Map) return weights as Checkpoint;
  return arraysCheckpoint(weights as Record<string, Float32Array | Tensor>);
}
