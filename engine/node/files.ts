import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { FileError } from "../ground/errors.ts";
import type { ByteSource } from "../weights/checkpoint.ts";
import type { OpenSource } from "../weights/open.ts";
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
  return new FileError(`cannot ${doing} ${path}: ${REASONS[code] ?? message}`, { cause });
}

/** Random access to a file. Throws a FileError when it cannot be opened or is a folder. */
export async function fileSource(path: string): Promise<ByteSource> {
  try {
    const file = await open(path);
    const stat = await file.stat();
    if (stat.isDirectory()) {
      await file.close();
      throw Object.assign(new Error("is a folder"), { code: "EISDIR" });
    }
    return {
      name: path,
      size: stat.size,
      async read(offset, length) {
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
    throw fileError("read", path, cause);
  }
}

/** A path, a file: URL, or a web address, which is downloaded into the cache. Only a download's hash is checked. */
export const openFile: OpenSource = async (location, options) => {
  const text = String(location);
  if (!/^https?:/i.test(text)) return fileSource(text.startsWith("file:") ? fileURLToPath(text) : text);
  return { ...(await fileSource(await cachedFile(text, options))), name: text };
};
