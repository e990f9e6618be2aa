import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { FileError } from "../ground/errors.ts";
import { cacheFolder, removeOld, temporaryFolder } from "./cache.ts";

const require = createRequire(import.meta.url);

/**
 * Unpacks archives of npm @sparticuz/chromium into one folder of the cache, once for each version of it: "x.tar.br" with
 * what is in it, "x.br" as the program x. A folder that is not as it was unpacked is unpacked again: a library that was
 * cut short would end the process. Where the cache cannot be written to, a temporary folder is taken. Returns the
 * folder; undefined when that package is not installed. Throws a FileError.
 */
export async function unpackEmbedded(what: string, archives: readonly string[]): Promise<string | undefined> {
  let entry: string;
  try {
    entry = require.resolve("@sparticuz/chromium");
  } catch {
    return undefined;
  }
  const bin = join(entry.slice(0, entry.lastIndexOf("build")), "bin");
  // Not by require(): bundlers for servers give up over a path that they cannot know.
  const { version } = JSON.parse(await readFile(join(dirname(bin), "package.json"), "utf8")) as { version: string };
  let failure: FileError | undefined;
  for (const place of [cacheFolder, temporaryFolder]) {
    const cache = place();
    const folder = join(cache, `${what}-${version}`);
    try {
      if (!(await isSound(folder))) {
        await unpack(folder, (to) => unpackAll(archives, bin, to, entry));
        await removeOld(cache, new RegExp(`^${what}-`));
      }
      // What is in use is not left: see removeOld().
      await utimes(folder, new Date(), new Date()).catch(() => {});
      return folder;
    } catch (cause) {
      const reason = (cause as Error).message;
      failure ??= new FileError(
        `${what} cannot be unpacked into ${folder} (${reason}); set SHADENET_CACHE to a folder that can be written to`,
        { cause },
      );
    }
  }
  throw failure;
}

/** The software adapter, as a Vulkan driver with its loader. */
export const unpackSwiftShader = (): Promise<string | undefined> =>
  unpackEmbedded("swiftshader", ["swiftshader.tar.br"]);

/** Beside the files: the size of each in bytes, and when it was written in seconds since 1970. */
const MANIFEST = "unpacked.json";

type Manifest = Readonly<Record<string, readonly [size: number, seconds: number]>>;

/** Whole seconds, since archives that the folder may have been in have no others. */
async function described(path: string): Promise<Manifest[string]> {
  const { size, mtimeMs } = await stat(path);
  return [size, Math.floor(mtimeMs / 1000)];
}

async function isSound(folder: string): Promise<boolean> {
  try {
    const manifest = JSON.parse(await readFile(join(folder, MANIFEST), "utf8")) as Manifest;
    for (const [file, wanted] of Object.entries(manifest)) {
      if (String(await described(join(folder, file))) !== String(wanted)) return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Fills a folder by `fill`, which returns the files' sizes: whole or not at all, in place of a damaged one. */
async function unpack(folder: string, fill: (to: string) => Promise<ReadonlyMap<string, number>>): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const partial = await mkdtemp(`${folder}-`);
  try {
    const manifest: Record<string, Manifest[string]> = {};
    for (const [file, size] of await fill(partial)) {
      manifest[file] = await described(join(partial, file));
      if (manifest[file][0] !== size) throw new Error(`${file} has ${manifest[file][0]} bytes, wanted ${size}`);
      await sync(join(partial, file));
    }
    await writeFile(join(partial, MANIFEST), JSON.stringify(manifest));
    await sync(join(partial, MANIFEST));
    await rename(folder, `${partial}-old`).catch(() => {});
    await rename(partial, folder);
  } catch (error) {
    // Another process may have unpacked it meanwhile.
    if (!(await isSound(folder))) throw error;
  } finally {
    for (const left of [partial, `${partial}-old`]) await rm(left, { recursive: true, force: true }).catch(() => {});
  }
}

/** Sees to it that a file is on the disk before its folder gets the name that says so. */
async function sync(path: string): Promise<void> {
  const file = await open(path);
  await file.sync().finally(() => file.close());
}

/** Unpacks into a folder; resolves with the sizes that the files should have. `entry` is a file of the package. */
async function unpackAll(archives: readonly string[], bin: string, to: string, entry: string) {
  // tar-fs is how that package unpacks its own archives.
  const { extract } = createRequire(entry)("tar-fs") as typeof import("tar-fs");
  const sizes = new Map<string, number>();
  for (const archive of archives) {
    const source = createReadStream(join(bin, archive));
    const unzip = createBrotliDecompress();
    if (archive.endsWith(".tar.br")) {
      const note = (header: import("tar-fs").Headers) => {
        if (header.type === "file") sizes.set(header.name, header.size ?? 0);
        return header;
      };
      await pipeline(source, unzip, extract(to, { map: note }));
    } else {
      const program = basename(archive, ".br");
      const target = createWriteStream(join(to, program), { mode: 0o755 });
      await pipeline(source, unzip, target);
      sizes.set(program, target.bytesWritten);
    }
  }
  return sizes;
}
