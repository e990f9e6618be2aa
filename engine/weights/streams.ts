import { FileError, ShadenetError, show, UsageError, WeightsError } from "../ground/errors.ts";
import type { Watch } from "../ground/options.ts";
import { untilAborted } from "../ground/promises.ts";
import { BlobSink } from "./blob_sink.ts";
import { clip, type Stream } from "./checkpoint.ts";
import { receive, reporter } from "./download.ts";

/**
 * Reads a response or a stream to its end, with progress: weights are read in any order, and again on another device. Throws
 * a UsageError for one that was read before or hides its bytes, a FileError when the server refused or the stream broke, a
 * WeightsError for a web page or other text, the signal's reason.
 */
export async function readStream(given: Stream, { signal, onProgress }: Watch): Promise<File> {
  const response = given instanceof Response ? given : new Response(webStream(given));
  const name = clip(response.url) || `the given ${given instanceof Response ? "response" : "stream"}`;
  if (response.bodyUsed || response.body?.locked) throw new UsageError(`${name} was read before; give a fresh one`);
  if (response.status === 206) throw new UsageError(`${name} is a part of a file (206); fetch all of it`);
  if (response.type === "opaque") {
    throw new UsageError(`${name} hides its bytes from pages, as "no-cors" asks for: fetch it without`);
  }
  const sink = new BlobSink();
  const report = reporter(name, onProgress);
  const wait = <T>(work: Promise<T>) => untilAborted(work, signal);
  try {
    await receive(name, response, sink, wait, report);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ShadenetError) throw error;
    throw new FileError(`${name} cannot be read: ${clip((error as Error).message)}`, { cause: error });
  }
  report(sink, true);
  return new File([sink.blob()], name);
}

/** A stream of the web or of Node as one of bytes that nobody else writes to. */
function webStream(stream: Exclude<Stream, Response>): ReadableStream<Uint8Array> {
  if ("locked" in stream && stream.locked) throw new UsageError("the given stream was read before; give a fresh one");
  const reader = "getReader" in stream ? stream.getReader() : undefined;
  const parts = reader ? undefined : (stream as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = (await (reader?.read() ?? parts?.next())) ?? { done: true };
      if (done) controller.close();
      else if (value instanceof Uint8Array) controller.enqueue(new Uint8Array(value));
      else throw new WeightsError(`the given stream has ${show(value)} in it; wanted bytes (Uint8Array)`);
    },
    async cancel(reason) {
      await (reader?.cancel(reason) ?? parts?.return?.());
    },
  });
}
