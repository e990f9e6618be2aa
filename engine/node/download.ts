import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join, parse } from "node:path";
import { FileError, ShadenetError } from "../ground/errors.ts";
import type { Bytes } from "../weights/checkpoint.ts";
import {
  addressOf,
  checkHash,
  type DownloadOptions,
  download,
  inTurn,
  matchesHash,
  type Sink,
  type Version,
} from "../weights/download.ts";
import { cacheFolder, PART, removeOld } from "./cache.ts";

/*
The folder `weights` in the cache holds, for every address,
    NAME                    the file: only ever a whole one, since it gets this name by renaming
    NAME.json               its Entry
    NAME.HOST-PID-ID.part   a download in progress, or what is left of a broken one, which the next download goes on with
    NAME.HOST-PID-ID.part.json   the Version that those bytes are of, if it can be gone on with
No locks are needed: each download writes to a part of its own. It takes over another's, by renaming it, when that is
abandoned: its process is gone, or gave it up (by dating it to 1970), or is on another machine and long silent.
*/

/** What is known of a file in the cache. */
interface Entry {
  readonly url: string;
  readonly size: number;
  /** When the file had the digest, in milliseconds since 1970: while it is the same, nothing is hashed again. */
  readonly modified: number;
  readonly sha256: string;
}

export interface CacheOptions extends DownloadOptions {
  /** The first hex digits of the file's SHA-256. */
  readonly sha256?: string;
}

const HOST = hostname().replace(/\W/g, "_");

/** Ends a name as no other download does. */
const ownSuffix = (): string => `.${HOST}-${process.pid}-${randomBytes(4).toString("hex")}.part`;

const PART_SUFFIX = /^\.(\w+)-(\d+)-\w+\.part$/;

/** A part that has not changed for longer is abandoned; in milliseconds, and more than a download ever waits. */
const LEASE = 10 * 60_000;

/**
 * The path of a web address's copy in the cache; it is downloaded first if there is none, or a damaged one. A sound
 * copy is used without any request: delete it, or change the address (as in "?v=2"), to have it downloaded again.
 * Rejects as download() does, with a WeightsError for a wrong SHA-256, and with a FileError when the cache cannot be
 * written to.
 */
export async function cachedFile(url: string, options: CacheOptions = {}): Promise<string> {
  const { signal } = options;
  const path = cachePath(url);
  await inTurn(path, signal, async () => {
    try {
      if (!(await isSound(path, url, options))) await fetchFile(path, url, options);
    } catch (error) {
      throw explain(error, url, dirname(path));
    }
  });
  signal?.throwIfAborted();
  return path;
}

/** The last part of the address, to be recognized by, and a few digits that tell addresses apart. */
function cachePath(address: string): string {
  const url = new URL(addressOf(address));
  url.hash = "";
  const { name, ext } = parse(url.pathname.replace(/[^\w./-]+/g, "_"));
  const digits = createHash("sha256").update(url.href).digest("hex").slice(0, 10);
  return join(cacheFolder(), "weights", `${name.slice(0, 80) || "weights"}-${digits}${ext.slice(0, 20)}`);
}

/** Whether there is a copy with the wanted hash, or as it once was downloaded if no hash is wanted. */
async function isSound(path: string, url: string, { sha256: wanted, signal }: CacheOptions): Promise<boolean> {
  const file = await stat(path).catch(() => undefined);
  if (!file) return false;
  const known = await readJson<Entry>(`${path}.json`);
  if (!wanted && known?.size !== file.size) return false;
  const untouched = known?.size === file.size && known.modified === file.mtimeMs;
  // Touched is not yet damaged: the folder may have been copied.
  const sha256 = untouched ? known.sha256 : await hashFile(path, signal);
  if (wanted ? !matchesHash(sha256, wanted) : sha256 !== known?.sha256) return false;
  // A cache that can only be read is fine, too.
  if (!untouched) await writeEntry(path, { url, size: file.size, modified: file.mtimeMs, sha256 }).catch(() => {});
  return true;
}

async function fetchFile(path: string, url: string, options: CacheOptions): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = await Part.open(path);
  try {
    await download(url, part, options);
    const sha256 = part.digest();
    checkHash(url, sha256, options.sha256);
    const entry = { url, sha256, ...(await part.finish()) };
    // In this order, since a file without its entry would not be trusted.
    await writeEntry(path, entry);
    await rename(part.path, path);
  } catch (error) {
    await part.giveUp(!isFull(error));
    // Windows cannot replace a file that is being read, which then is one that another process has just downloaded.
    if (!part.finished || !(await isSound(path, url, options))) throw error;
  }
  for (const left of await abandonedParts(path)) await removePart(left);
  await removeOld(dirname(path), PART);
}

/** A file that is being downloaded. */
class Part implements Sink {
  readonly path: string;
  size = 0;
  version: Version = {};
  finished = false;
  readonly #file: FileHandle;
  #hash = createHash("sha256");

  /** Begins with what an earlier download of the same file left. */
  static async open(target: string): Promise<Part> {
    const path = `${target}${ownSuffix()}`;
    await adopt(await abandonedParts(target), path);
    const version = await readJson<Version>(`${path}.json`);
    const part = new Part(path, await open(path, version ? "r+" : "w"));
    if (version) await part.#recall(version);
    return part;
  }

  constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  async #recall(version: Version): Promise<void> {
    this.version = version;
    for await (const bytes of createReadStream(this.path)) {
      this.#hash.update(bytes);
      this.size += bytes.length;
    }
  }

  async append(bytes: Bytes): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done, bytes.length - done, this.size + done)).bytesWritten;
    }
    this.#hash.update(bytes);
    this.size += bytes.length;
  }

  async restart(version: Version): Promise<void> {
    await rm(`${this.path}.json`, { force: true });
    await this.#file.truncate();
    this.#hash = createHash("sha256");
    this.size = 0;
    this.version = version;
    if (version.validator && version.total) await writeFile(`${this.path}.json`, JSON.stringify(version));
  }

  digest(): string {
    return this.#hash.digest("hex");
  }

  /** Sees to it that the bytes are on the disk before anything says that they are. */
  async finish(): Promise<Pick<Entry, "size" | "modified">> {
    await this.#file.sync();
    const { size, mtimeMs } = await this.#file.stat();
    await this.#file.close();
    await rm(`${this.path}.json`, { force: true });
    this.finished = true;
    return { size, modified: mtimeMs };
  }

  /** Leaves what has come to the next download, or to nobody where nothing can be gone on with. */
  async giveUp(keep: boolean): Promise<void> {
    await this.#file.close();
    const { validator, total = 0 } = this.version;
    if (keep && validator && this.size > 0 && this.size < total) await utimes(this.path, 0, 0);
    else await removePart(this.path);
  }
}

async function removePart(path: string): Promise<void> {
  for (const file of [`${path}.json`, path]) await rm(file, { force: true });
}

/** Renames the first of these parts that no other process was faster to take. */
async function adopt(parts: readonly string[], path: string): Promise<void> {
  for (const part of parts) {
    try {
      await utimes(part, new Date(), new Date());
      await rename(part, path);
      return await rename(`${part}.json`, `${path}.json`);
    } catch {
      // Taken, or nothing that could be gone on with.
    }
  }
}

/** Parts of a file that nobody writes to any more. */
async function abandonedParts(target: string): Promise<string[]> {
  const parts: string[] = [];
  const [folder, name] = [dirname(target), basename(target)];
  for (const file of await readdir(folder)) {
    const [, host, pid] = (file.startsWith(name) && PART_SUFFIX.exec(file.slice(name.length))) || [];
    if (!pid) continue;
    const path = join(folder, file);
    const modified = (await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now();
    if (Date.now() - modified > LEASE || (host === HOST && !isRunning(Number(pid)))) parts.push(path);
  }
  return parts;
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

async function hashFile(path: string, signal: AbortSignal | undefined): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    signal?.throwIfAborted();
    hash.update(bytes);
  }
  return hash.digest("hex");
}

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}

async function writeEntry(path: string, entry: Entry): Promise<void> {
  const draft = `${path}.json${ownSuffix()}`;
  await writeFile(draft, `${JSON.stringify(entry, null, 2)}\n`);
  await rename(draft, `${path}.json`);
}

const isFull = (error: unknown): boolean => ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException)?.code ?? "");

/** Errors of the file system in plain words; others stay what they are. */
function explain(error: unknown, url: string, folder: string): unknown {
  if (error instanceof ShadenetError || !(error instanceof Error && "syscall" in error)) return error;
  const message = isFull(error)
    ? `the disk is full: ${url} does not fit into ${folder}; make room, or set SHADENET_CACHE to a folder elsewhere`
    : `cannot keep ${url} in ${folder} (${error.message}); set SHADENET_CACHE to a folder that can be written to`;
  return new FileError(message, { cause: error });
}
