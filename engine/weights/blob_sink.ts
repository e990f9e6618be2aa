import type { Bytes } from "./checkpoint.ts";
import type { Sink, Version } from "./download.ts";

/** Bytes that are given to the browser at a time, which may keep a Blob on disk. */
const FOLD_BYTES = 16 * 2 ** 20;

/** Collects downloaded bytes in a Blob. */
export class BlobSink implements Sink {
  size = 0;
  version: Version = {};
  #parts: BlobPart[] = [];
  #loose = 0;

  async append(bytes: Bytes): Promise<void> {
    this.#parts.push(bytes);
    this.size += bytes.length;
    this.#loose += bytes.length;
    if (this.#loose >= FOLD_BYTES) this.#parts = [this.blob()];
  }

  async restart(version: Version): Promise<void> {
    this.size = this.#loose = 0;
    this.#parts = [];
    this.version = version;
  }

  blob(): Blob {
    this.#loose = 0;
    return new Blob(this.#parts);
  }
}
