import { existsSync, statSync } from "node:fs";
import { access, type FileHandle, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { FileError, UsageError } from "../index.ts";

/** Files by name or by pattern: `*`, `?`, `[abc]`, `{a,b}`, and `**` for any folders, where the shell left them. */
export async function expandPatterns(patterns: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const pattern of patterns) {
    // A file that is really called "a[1].png" is that file; a pattern that nothing fits stays, to be reported.
    const found = /[*?[{]/.test(pattern) && !existsSync(pattern) ? await matches(pattern) : [];
    files.push(...(found.length > 0 ? found : [pattern]));
  }
  return files;
}

async function matches(pattern: string): Promise<string[]> {
  const found = new Set<string>();
  for (const alternative of expandBraces(pattern)) {
    const segments = alternative.split(process.platform === "win32" ? /[\\/]+/ : /\/+/);
    const absolute = segments[0] === "" || /^[A-Za-z]:$/.test(segments[0]);
    const start = absolute ? `${segments.shift()}/` : "";
    for await (const file of walk(start, segments)) found.add(file);
  }
  return [...found].sort();
}

/** "a{b,c}d" as "abd" and "acd". */
function expandBraces(pattern: string): string[] {
  const parts = /^(.*)\{([^{}]*)\}(.*)$/s.exec(pattern);
  if (!parts) return [pattern];
  const [, before, inside, after] = parts;
  return inside.split(",").flatMap((choice) => expandBraces(before + choice + after));
}

async function* walk(folder: string, [segment, ...rest]: readonly string[]): AsyncGenerator<string> {
  if (segment === undefined) return;
  if (!/[*?[]/.test(segment)) {
    const path = join(folder, segment);
    if (rest.length > 0) yield* walk(path, rest);
    else if (existsSync(path)) yield path;
    return;
  }
  if (segment === "**") yield* walk(folder, rest);
  const fits = segmentPattern(segment);
  // A folder that cannot be listed has nothing that fits.
  for (const entry of await readdir(folder || ".", { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith(".") && !segment.startsWith(".")) continue;
    if (segment === "**") {
      if (entry.isDirectory()) yield* walk(path, [segment, ...rest]);
    } else if (fits.test(entry.name)) {
      if (rest.length > 0) yield* walk(path, rest);
      else if (!entry.isDirectory()) yield path;
    }
  }
}

function segmentPattern(segment: string): RegExp {
  const source = segment
    .replace(/[.+^$()|\\{}]/g, "\\$&")
    .replace(/\[!/g, "[^")
    .replace(/\*+/g, ".*")
    .replace(/\?/g, ".");
  try {
    return new RegExp(`^${source}$`, "su");
  } catch {
    return /^\b$/; // An unclosed bracket fits nothing.
  }
}

/** Throws a UsageError when what is to be written is one of the files that are read, by whatever path or link. */
export async function refuseOverwriting(output: string, inputs: readonly (string | undefined)[]): Promise<void> {
  const written = await stat(output, { bigint: true }).catch(() => undefined);
  if (!written?.isFile()) return;
  for (const input of inputs) {
    const read =
      input && (await stat(/^file:/i.test(input) ? new URL(input) : input, { bigint: true }).catch(() => undefined));
    if (read && read.dev === written.dev && read.ino === written.ino)
      throw new UsageError(`${output} is the file that is read, ${input}; write to another one`);
  }
}

/**
 * Writes a file that is there whole or not at all: beside its place first, then renamed. What is no plain file, such as
 * a pipe, is written to as it stands. Throws a FileError.
 */
export async function writeWhole(path: string, write: (file: FileHandle) => Promise<unknown>): Promise<void> {
  // Where a link leads to, rather than the link, is replaced.
  const target = await realpath(path).catch(() => path);
  const prefix = `${target}.${hostname()}-`;
  const partial = `${prefix}${process.pid}.part`;
  try {
    if (existsSync(target) && !statSync(target).isFile()) return await fill(target, write);
    await removeLeft(prefix);
    await fill(partial, write);
    await rename(partial, target);
  } catch (cause) {
    await rm(partial, { force: true }).catch(() => {});
    throw isSystemError(cause) ? new FileError(`cannot write ${path}: ${reason(cause)}`, { cause }) : cause;
  }
}

/** Removes what processes of this machine that were killed have left of a file. */
async function removeLeft(prefix: string): Promise<void> {
  const folder = dirname(prefix);
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(basename(prefix))) continue;
    const [, pid] = /^(\d+)\.part$/.exec(name.slice(basename(prefix).length)) ?? [];
    if (pid && !isRunning(Number(pid))) await rm(join(folder, name), { force: true }).catch(() => {});
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}

async function fill(path: string, write: (file: FileHandle) => Promise<unknown>): Promise<void> {
  const file = await open(path, "w");
  try {
    await write(file);
  } finally {
    await file.close();
  }
}

const isSystemError = (error: unknown): error is NodeJS.ErrnoException => error instanceof Error && "syscall" in error;

const reason = ({ code = "", message }: NodeJS.ErrnoException): string =>
  ({
    ENOENT: "its folder does not exist",
    ENOTDIR: "a part of its path is a file",
    EISDIR: "it is a folder",
    EACCES: "permission denied",
    EPERM: "permission denied",
    EROFS: "the disk is read-only",
    ENOSPC: "the disk is full",
  })[code] ?? message;

/** Throws a FileError where no file can be written: better now than after all the measuring. */
export async function checkPlace(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  await access(folder).catch((cause) => {
    throw new FileError(`cannot write ${path}: its folder does not exist`, { cause });
  });
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) throw new FileError(`cannot write ${path}: it is a folder`);
}
