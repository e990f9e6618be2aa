import { createReadStream, createWriteStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { FileError } from "../ground/errors.ts";
import { cacheFolder } from "./cache.ts";

const require = createRequire(import.meta.url);

/**
 * Unpacks archives of npm @sparticuz/chromium into one folder of the cache, once for each version of it: "x.tar.br" with
 * what is in it, "x.br" as the program x. Returns the folder; undefined when that package is not installed.
 */
export async function unpackEmbedded(what: string, archives: readonly string[]): Promise<string | undefined> {
  let entry: string;
  try {
    entry = require.resolve("@sparticuz/chromium");
  } catch {
    return undefined;
  }
  const bin = join(entry.slice(0, entry.lastIndexOf("build")), "bin");
  const { version } = require(join(dirname(bin), "package.json")) as { version: string };
  const folder = join(cacheFolder(), `${what}-${version}`);
  if (existsSync(folder)) return folder;
  // tar-fs is how that package unpacks its own archives.
  const { extract } = createRequire(entry)("tar-fs") as typeof import("tar-fs");
  mkdirSync(cacheFolder(), { recursive: true });
  const partial = mkdtempSync(`${folder}-`);
  try {
    for (const archive of archives) {
      const target = archive.endsWith(".tar.br")
        ? extract(partial)
        : createWriteStream(join(partial, basename(archive, ".br")), { mode: 0o755 });
      await pipeline(createReadStream(join(bin, archive)), createBrotliDecompress(), target);
    }
    renameSync(partial, folder);
  } catch (cause) {
    rmSync(partial, { recursive: true, force: true });
    // Another process may have unpacked it meanwhile.
    if (existsSync(folder)) return folder;
    throw new FileError(`${what} could not be unpacked into ${folder}: ${(cause as Error).message}`, { cause });
  }
  return folder;
}
