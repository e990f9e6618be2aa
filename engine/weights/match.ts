import { type Shape, sameShape } from "../ground/tensor.ts";
import type { Checkpoint, TensorInfo } from "./checkpoint.ts";
import type { WeightsTable } from "./open.ts";

/** What a net knows of checkpoints that others have made. */
export type Knowledge = Pick<WeightsTable, "rename" | "misshapen">;

/** A net that a checkpoint may be of in place of the wanted one: the tensors that it has under these options. */
export interface OtherNet extends Pick<Knowledge, "rename"> {
  readonly name: string;
  readonly options: readonly string[];
  readonly wanted: ReadonlyMap<string, Shape>;
}

/** Counters that batchnorm keeps for training only: they may be there or not. */
export const isCounted = (name: string): boolean => !name.endsWith(".num_batches_tracked");

/** Whether these are the wanted tensors, in name and shape. */
function fits(tensors: ReadonlyMap<string, TensorInfo>, wanted: ReadonlyMap<string, Shape>): boolean {
  for (const [name, shape] of wanted)
    if (isCounted(name) && !sameShape(tensors.get(name)?.shape ?? [NaN], shape)) return false;
  for (const name of tensors.keys()) if (isCounted(name) && !wanted.has(name)) return false;
  return true;
}

/**
 * A checkpoint with exactly the wanted tensors, in name and shape; `*.num_batches_tracked` may be there or not. It is the
 * given one, one of its parts, or either under other names, where one prefix or wrapper's name stands in all that differ.
 * `key` says which of its parts is meant; the net's `rename` knows what others call the tensors, which may then have the same
 * elements in another shape, and which of theirs are left out. The warnings tell what was taken off.
 * @throws WeightsError that says what is missing, left over or misshapen, and which of the others it fits, with the number of
 * `classes` where nothing else differs, or that several parts fit; UsageError for a key that it does not have.
 */
export async function matchCheckpoint(
  checkpoint: Checkpoint,
  wanted: ReadonlyMap<string, Shape>,
  key?: string,
  net: Knowledge = {},
  others?: () => Promise<readonly OtherNet[]>,
): Promise<Checkpoint> {
  const isAlone = key === undefined && (checkpoint.parts?.size ?? 1) === 1;
  if (isAlone && fits(checkpoint.tensors, wanted)) return checkpoint;
  // Loaded only where there is a choice, or a fault to describe.
  return (await import("./fit.ts")).fitCheckpoint(checkpoint, wanted, key, net, others);
}
