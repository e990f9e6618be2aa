import { untilAborted } from "../ground/promises.ts";
import { type Bytes, clip } from "../weights/checkpoint.ts";
import {
  addressOf,
  besideAddress,
  checkHash,
  type DownloadOptions,
  download,
  inTurn,
  matchesHash,
  type Sink,
  type Version,
} from "../weights/download.ts";
import type { OpenSource } from "../weights/open.ts";
import { blobSource } from "../weights/sources.ts";

/** Headers of a cached response; the digest is there if it was ever asked for. */
const SIZE = "content-length";
const SHA256 = "x-sha256";

/** Downloaded bytes that are given to the browser at a time, which may keep a Blob on disk. */
const FOLD_BYTES = 16 * 2 ** 20;

/**
 * Opens a web address, kept in the Cache Storage "shadenet-weights" where the page has one. A cached file is used
 * without any request: delete that cache, or change the address (as in "?v=2"), to have it downloaded again.
 */
export const openUrl: OpenSource = async (location, options) => {
  const url = addressOf(location);
  const blob = await inTurn(url, options.signal, () => cachedBlob(url, options));
  options.signal?.throwIfAborted();
  // The address of a blob or of data has nothing beside it.
  const beside = /^http/.test(url)
    ? (name: string) => openUrl(besideAddress(url, name), { ...options, sha256: undefined })
    : undefined;
  return { ...blobSource(blob, clip(url)), beside };
};

async function cachedBlob(url: string, options: Parameters<OpenSource>[1] & DownloadOptions): Promise<Blob> {
  const { sha256 = "", signal } = options;
  const cache = await openCache();
  const cached = await readCache(cache, url);
  if (cached) {
    const known = cached.sha256 ?? (sha256 && (await digestOf(cached.blob, signal)));
    if (matchesHash(known, sha256)) return cached.blob;
    await cache?.delete(url);
  }
  const sink = new BlobSink();
  await download(url, sink, options);
  const blob = sink.blob();
  const headers = new Headers({ [SIZE]: String(blob.size) });
  if (sha256) {
    const got = await digestOf(blob, signal);
    checkHash(url, got, sha256);
    headers.set(SHA256, got);
  }
  // A full or forbidden storage costs the next visit a download, nothing more.
  await cache?.put(url, new Response(blob, { headers })).catch(() => {});
  return blob;
}

/** There is none on an insecure page or where the user blocks storage. */
async function openCache(): Promise<Cache | undefined> {
  try {
    return await globalThis.caches?.open("shadenet-weights");
  } catch {
    return undefined;
  }
}

/** What the cache holds, unless it lost some of it. */
async function readCache(cache: Cache | undefined, url: string): Promise<{ blob: Blob; sha256?: string } | undefined> {
  try {
    const response = await cache?.match(url);
    const blob = await response?.blob();
    if (!response || !blob || blob.size !== Number(response.headers.get(SIZE))) return undefined;
    return { blob, sha256: response.headers.get(SHA256) ?? undefined };
  } catch {
    return undefined;
  }
}

async function digestOf(blob: Blob, signal: AbortSignal | undefined): Promise<string> {
  const digest = await untilAborted(
    blob.arrayBuffer().then((bytes) => crypto.subtle.digest("SHA-256", bytes)),
    signal,
  );
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class BlobSink implements Sink {
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
