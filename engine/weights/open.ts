import { UsageError } from "../ground/errors.ts";
import type { Watch } from "../ground/options.ts";
import type { Shape, Tensor } from "../ground/tensor.ts";
import type { ByteSource, Checkpoint } from "./checkpoint.ts";

/** Opens a location; with the first digits of its SHA-256, only if the content has it. */
export type OpenSource = (
  location: string | URL,
  options: Watch & Pick<PublishedFile, "sha256" | "mirror">,
) => Promise<ByteSource>;

/** A file of weights that is published, or comes with the package. */
export interface PublishedFile {
  readonly url: string | URL;
  /** The first digits of the file's SHA-256, where they are known. */
  readonly sha256?: string;
  /** The same tensors on a server that lets every page read them, where that of `url` does not. */
  readonly mirror?: string;
}

/** The checkpoints that a net can be loaded with by name. */
export interface WeightsTable<F extends PublishedFile = PublishedFile> {
  /** What they are called together: the net's name. */
  readonly name: string;
  /** Checkpoints that can be asked for by name; the last one also as "DEFAULT". */
  readonly weights: Readonly<Record<string, F>>;
  /** What is loaded when nothing is given: the name of one of them, or weights that came with the net. */
  readonly defaultWeights?: Weights;
  /** What a tensor of a checkpoint is called here, whatever others call it; undefined for one that is no part of the net. */
  rename?(name: string): string | undefined;
  /** What is to be done where a tensor of a checkpoint has another shape than the net's: the end of an error's text. */
  misshapen?(name: string, is: Shape, wanted: Shape): string | undefined;
}

/** What weights can be given as. A string is a file's path (in Node), a URL, or a name of the net's own. */
export type Weights =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | Blob
  | Response
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | Checkpoint
  | Readonly<Record<string, Float32Array | Tensor>>;

/** The entry of the net's own table, if the weights are one of its names, in any case, or "DEFAULT". */
export function publishedWeights<F extends PublishedFile>(
  { weights: table }: WeightsTable<F>,
  weights: Weights | undefined,
): F | undefined {
  if (typeof weights !== "string") return undefined;
  const names = Object.keys(table);
  const wanted = weights.toUpperCase();
  const name = wanted === "DEFAULT" ? names.at(-1) : names.find((each) => each.toUpperCase() === wanted);
  return name === undefined ? undefined : table[name];
}

/** A file that comes with the package is beside the modules, unless a bundle has them. */
function urlOf(file: PublishedFile, { name }: WeightsTable): string | URL {
  try {
    return file.url;
  } catch (cause) {
    throw new UsageError(`this bundle does not say where ${name}'s weights are (import.meta.url): give some`, {
      cause,
    });
  }
}

/**
 * Opens weights whatever they are given as; the net's own if none are given. `open` opens a path or URL.
 * Throws a UsageError when a net without its own is given none.
 */
export async function openWeights(
  definition: WeightsTable,
  options: Watch & { readonly weights?: Weights },
  open: OpenSource,
): Promise<Checkpoint> {
  const weights = options.weights ?? definition.defaultWeights;
  if (weights === undefined) {
    throw new UsageError(
      `${definition.name} comes without weights: give a .safetensors or .pth file, a URL or an object of arrays`,
    );
  }
  // On their way together: the code, and what it is for.
  const sources = import("./sources.ts");
  sources.catch(() => {});
  if (typeof weights === "string" || weights instanceof URL) {
    const published = publishedWeights(definition, weights);
    const location = published ? urlOf(published, definition) : weights;
    import("./safetensors.ts").catch(() => {});
    const opened = open(location, { ...options, sha256: published?.sha256, mirror: published?.mirror });
    const source = await opened.catch(async (error) => {
      throw (await sources).orNames(error, definition, weights);
    });
    return (await sources).openCheckpoint(source);
  }
  return (await sources).openGiven(weights, options);
}
