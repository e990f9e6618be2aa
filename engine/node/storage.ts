import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "../device/host.ts";
import { FileError } from "../ground/errors.ts";
import { cacheFolder, PART, removeOld } from "./cache.ts";
import { fileError } from "./files.ts";

/** Where a text is kept under a name. */
export const storedFile = (name: string): string => join(cacheFolder(), name);

/** Small texts by name: files in the cache folder. Throws a FileError for one that cannot be read or written. */
export const folderStorage: Host["storage"] = {
  async read(name) {
    const path = storedFile(name);
    try {
      return await textOf(path);
    } catch (cause) {
      throw fileError("read", path, cause);
    }
  },
  async update(name, change) {
    const path = storedFile(name);
    const partial = `${path}.${randomUUID()}.part`;
    try {
      await mkdir(cacheFolder(), { recursive: true });
      await locked(`${path}.lock`, async () => {
        await writeFile(partial, change(await textOf(path)));
        await rename(partial, path);
      });
    } catch (cause) {
      await rm(partial, { force: true }).catch(() => {});
      const { message } = cause as Error;
      throw new FileError(`${message}; set SHADENET_CACHE to a folder that can be written to`, { cause });
    }
    await removeOld(cacheFolder(), PART);
  },
};

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** A lock is held for some milliseconds. One this old, in milliseconds, was left by a program that was killed. */
const LOCK_LEASE = 5000;

/** Does some work while a file of this name says to all processes that it is being done. */
async function locked(path: string, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      await (await open(path, "wx")).close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const since = (await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now();
    if (Date.now() - since > LOCK_LEASE) await rm(path, { force: true });
    else await sleep(5);
  }
  await work().finally(() => rm(path, { force: true }));
}
