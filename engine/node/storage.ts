import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Host } from "../device/host.ts";
import { FileError } from "../ground/errors.ts";
import { cacheFolder } from "./cache.ts";
import { fileError } from "./files.ts";

/** Where a text is kept under a name. */
export const storedFile = (name: string): string => join(cacheFolder(), name);

/** Small texts by name: files in the cache folder. Throws a FileError for one that cannot be read or written. */
export const folderStorage: Host["storage"] = {
  async read(name) {
    const path = storedFile(name);
    try {
      return await readFile(path, "utf8");
    } catch (cause) {
      if (["ENOENT", "ENOTDIR"].includes((cause as NodeJS.ErrnoException).code ?? "")) return undefined;
      throw fileError("read", path, cause);
    }
  },
  async write(name, text) {
    const path = storedFile(name);
    const partial = `${path}.${randomUUID()}.part`;
    try {
      await mkdir(cacheFolder(), { recursive: true });
      await writeFile(partial, text);
      await rename(partial, path);
    } catch (cause) {
      await rm(partial, { force: true }).catch(() => {});
      const { message } = cause as Error;
      throw new FileError(`${message}; set SHADENET_CACHE to a folder that can be written to`, { cause });
    }
  },
};
