import { accessSync, constants, mkdirSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { join } from "node:path";

/**
 * The folder for what can be made again: SHADENET_CACHE if set, else `shadenet` in the user's cache folder, else (a home
 * that cannot be written to) one of the user's own in the temporary folder.
 */
export function cacheFolder(): string {
  if (process.env.SHADENET_CACHE) return process.env.SHADENET_CACHE;
  const base =
    process.platform === "win32"
      ? process.env.LOCALAPPDATA
      : process.platform === "darwin"
        ? join(homedir(), "Library/Caches")
        : process.env.XDG_CACHE_HOME;
  const folder = join(base || join(homedir(), ".cache"), "shadenet");
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return folder;
  } catch {
    return join(tmpdir(), `shadenet-${userInfo().uid}`);
  }
}
