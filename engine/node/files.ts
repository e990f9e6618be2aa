import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { check, checkText, FileError } from "../ground/errors.ts";
import { type ByteSource, checkSpan, clip } from "../weights/checkpoint.ts";
import { besideAddress } from "../weights/download.ts";
import type { OpenSource } from "../weights/open.ts";
import { bytesSource } from "../weights/sources.ts";
import { cachedFile } from "./download.ts";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder",
  EACCES: "it may not be read (permission denied)",
  EPERM: "it may not be read (permission denied)",
  ENOTDIR: "a part of its path is a file",
};

/** A FileError in one plain line for an error of Node's file functions. */
export function fileError(doing: string, path: string, cause: unknown): FileError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  return new FileError(`cannot ${doing} ${clip(path)}: ${REASONS[code] ?? clip(message)}`, { cause });
}

/** The most that is read from a pipe, in bytes: VGG-19 has 550 MB. */
const MAX_PIPE_BYTES = 2 ** 30;

/**
 * Random access to a file, by its path or file: URL. What is no plain file, such as a pipe, is read whole into memory, up to
 * 1 GiB; "-" is standard input. Throws a FileError when it cannot be opened, is a folder or too long.
 */
export async function fileSource(location: string | URL): Promise<ByteSource> {
  const path = pathOf(location);
  try {
    // Node's own stream also reads where standard input is a socket, which cannot be opened by name.
    if (path === "-" || path === "/dev/stdin") return bytesSource(await readStream(process.stdin, path), path);
    const file = await open(path);
    const stat = await file.stat();
    if (stat.isDirectory()) {
      await file.close();
      throw Object.assign(new Error("is a folder"), { code: "EISDIR" });
    }
    if (!stat.isFile()) return bytesSource(await readStream(file.createReadStream(), path), path);
    return {
      name: path,
      size: stat.size,
      beside: async (name) => fileSource(pathBeside(path, name)),
      async read(offset, length) {
        checkSpan({ name: path, size: Infinity }, offset, length);
        const bytes = new Uint8Array(length);
        let done = 0;
        while (done < length) {
          const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
          if (bytesRead === 0)
            throw new FileError(`${path} ended at byte ${offset + done}; it was cut short while it was read`);
          done += bytesRead;
        }
        return bytes;
      },
      close: () => file.close(),
    };
  } catch (cause) {
    throw cause instanceof FileError ? cause : fileError("read", path, cause);
  }
}

/** The path of the file of this name in the same folder. Throws a UsageError for what is no name. */
function pathBeside(path: string, name: string): string {
  checkText("the name of a file", name);
  return join(dirname(path), name);
}

/** A path or an address as a text. Throws a UsageError for anything else. */
export function textOf(location: string | URL): string {
  check(typeof location === "string" || location instanceof URL, "what to read", location, "a path or a URL");
  return String(location);
}

function pathOf(location: string | URL): string {
  const text = textOf(location);
  if (!/^file:/i.test(text)) return text;
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw new FileError(`${clip(text)} is no file of this machine (${(cause as Error).message})`, { cause });
  }
}

async function readStream(stream: AsyncIterable<Uint8Array>, path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of stream) {
    size += part.length;
    if (size > MAX_PIPE_BYTES) throw new FileError(`${path} is longer than ${MAX_PIPE_BYTES} bytes; save it as a file`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** A path, a file: URL, or a web address, which is downloaded into the cache. Only a download's hash is checked. */
export const openFile: OpenSource = async (location, options) => {
  const text = textOf(location);
  if (!/^https?:/i.test(text)) return fileSource(location);
  const beside = (name: string) => openFile(besideAddress(text, name), { ...options, sha256: undefined });
  return { ...(await fileSource(await cachedFile(text, options))), name: clip(text), beside };
};
