import { accessSync, chmodSync, constants, lstatSync, mkdirSync } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { FileError } from "../ground/errors.ts";

/** The user's home; undefined where there is none, as for a container's user who has a number and no name. */
export function homeFolder(): string | undefined {
  try {
    return homedir() || undefined;
  } catch {
    return undefined;
  }
}

/**
 * The folder for what can be made again: SHADENET_CACHE if set, else `shadenet` in the user's cache folder, else (no home,
 * or one that cannot be written to) temporaryFolder(). Throws a FileError where there is none of them.
 */
export function cacheFolder(): string {
  if (process.env.SHADENET_CACHE) return process.env.SHADENET_CACHE;
  const base = usersCache();
  if (base) {
    const folder = join(base, "shadenet");
    try {
      mkdirSync(folder, { recursive: true });
      accessSync(folder, constants.W_OK);
      return folder;
    } catch {}
  }
  return temporaryFolder();
}

function usersCache(): string | undefined {
  const { LOCALAPPDATA, XDG_CACHE_HOME } = process.env;
  const inHome = (path: string) => {
    const home = homeFolder();
    return home && join(home, path);
  };
  if (process.platform === "win32") return LOCALAPPDATA || inHome(".cache");
  if (process.platform === "darwin") return inHome("Library/Caches");
  return XDG_CACHE_HOME || inHome(".cache");
}

/**
 * `shadenet-UID` in the temporary folder, made where it is missing. Programs are loaded from it, and everybody can write
 * beside it: one that another user has put there is refused with a FileError.
 */
export function temporaryFolder(): string {
  const uid = process.getuid?.();
  const folder = join(tmpdir(), `shadenet-${uid ?? "user"}`);
  const advice = "set SHADENET_CACHE to a folder that can be written to";
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const found = lstatSync(folder);
    if (found.isDirectory() && (uid === undefined || found.uid === uid)) {
      chmodSync(folder, 0o700);
      return folder;
    }
  } catch (cause) {
    throw new FileError(`there is no folder to keep anything in (${(cause as Error).message}); ${advice}`, { cause });
  }
  throw new FileError(`${folder} is not a folder of this user's; ${advice}`);
}

/** What is left of a file that was being written, and what is known of it. */
export const PART = /\.part(\.json)?$/;

/** What nobody has touched for a week, in milliseconds, was left by a program that was killed, or is used no more. */
const KEPT_FOR = 7 * 24 * 60 * 60_000;

/** Removes what of a folder fits and has been left for long, as far as that is possible. */
export async function removeOld(folder: string, fits: RegExp, now = Date.now()): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!fits.test(name)) continue;
    const path = join(folder, name);
    // Not when it was modified: what may be taken over is dated to 1970.
    const changed = (await lstat(path).catch(() => undefined))?.ctimeMs ?? now;
    if (now - changed > KEPT_FOR) await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}
