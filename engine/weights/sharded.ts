/** Checkpoints in several files, found through the index that transformers writes: `model.safetensors.index.json`. */

import { WeightsError } from "../ground/errors.ts";
import {
  type ByteSource,
  type Checkpoint,
  clip,
  isBeside,
  makeCheckpoint,
  quote,
  type TensorInfo,
} from "./checkpoint.ts";

/** The largest index, in bytes, and the most files that it may name. */
const MAX_INDEX_BYTES = 1 << 24;
const MAX_SHARDS = 1024;

/**
 * Opens the shards that an index names, each by its header, and closes them all with the checkpoint. Every tensor is read
 * from the shard that the index says. The index itself is closed again.
 * @throws WeightsError for what is no index, one that names files elsewhere than beside it, and shards without the tensors.
 */
export async function openSharded(
  source: ByteSource,
  openCheckpoint: (source: ByteSource) => Promise<Checkpoint>,
): Promise<Checkpoint> {
  const broken = (problem: string) =>
    new WeightsError(`${source.name} cannot be read as an index of shards: ${problem}`);
  const files = await readIndex(source, broken);
  const { beside } = source;
  if (!beside) throw broken("its shards are other files, which only a path or an address leads to; open it by that");

  const shards = new Map<string, Checkpoint>();
  const close = async () => {
    await source.close?.();
    for (const shard of shards.values()) await shard.close();
  };
  try {
    const tensors = new Map<string, TensorInfo & { shard: Checkpoint }>();
    for (const [name, file] of files) {
      let shard = shards.get(file);
      if (!shard) {
        if (shards.size === MAX_SHARDS) throw broken(`it names more than ${MAX_SHARDS} files`);
        // Without what would lead further: a shard is no index itself.
        shard = await openCheckpoint({ ...(await beside(file)), beside: undefined });
        shards.set(file, shard);
      }
      const info = shard.tensors.get(name);
      if (!info) throw broken(`${quote(name)} should be in ${quote(file)}, and is not`);
      tensors.set(name, { ...info, shard });
    }
    return makeCheckpoint(source.name, tensors, {
      read: ({ shard }, start, count, name) => shard.read(name, start, count),
      readBytes: async ({ shard }, start, count, name) => {
        if (!shard.readBytes) throw broken("a shard that is no file");
        return shard.readBytes(name, start, count);
      },
      close,
    });
  } catch (error) {
    await close();
    throw error;
  }
}

/** The file of every tensor. */
async function readIndex(source: ByteSource, broken: (problem: string) => Error): Promise<Map<string, string>> {
  if (source.size > MAX_INDEX_BYTES) throw broken(`it has ${source.size} bytes; the limit is ${MAX_INDEX_BYTES}`);
  let index: unknown;
  try {
    index = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(await source.read(0, source.size)));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) throw broken(clip(error.message));
    throw error;
  }
  const files = (index as { weight_map?: unknown }).weight_map;
  if (typeof files !== "object" || files === null || Array.isArray(files)) throw broken('it has no "weight_map"');
  const entries = Object.entries(files);
  for (const [name, file] of entries) {
    if (typeof file !== "string" || !isBeside(file))
      throw broken(`the file of ${quote(name)} is ${fileOf(file)}, wanted the name of one beside it`);
  }
  if (entries.length === 0) throw broken("it names no tensors");
  return new Map(entries);
}

const fileOf = (file: unknown): string => (typeof file === "string" ? quote(file) : "no text");
