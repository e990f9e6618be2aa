import { readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this package, above the dist/cli/ that this file is built to. */
const root = new URL("../../", import.meta.url);

/** The path of a file that comes with the package. */
export const packageFile = (path: string): string => fileURLToPath(new URL(path, root));

const readPackage = (file: string) => JSON.parse(readFileSync(file, "utf8")) as { name?: string; version: string };

export const ownVersion = (): string => readPackage(packageFile("package.json")).version;

/** The version of a package that this one uses; undefined where it is not installed. */
export function versionOf(name: string): string | undefined {
  try {
    // Not every package exports its package.json: look for it above its entry.
    for (let folder = createRequire(import.meta.url).resolve(name); folder !== dirname(folder); ) {
      folder = dirname(folder);
      try {
        const found = readPackage(join(folder, "package.json"));
        if (found.name === name) return found.version;
      } catch {}
    }
  } catch {}
  return undefined;
}

/** Whether a module was started itself, through a symlink or not, and not imported. */
export function isMain(url: string): boolean {
  try {
    return realpathSync(createRequire(url).resolve(process.argv[1])) === fileURLToPath(url);
  } catch {
    return false;
  }
}
