import { readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this package, above the dist/cli/ that this file is built to. */
const root = new URL("../../", import.meta.url);

/** The path of a file that comes with the package. */
export const packageFile = (path: string): string => fileURLToPath(new URL(path, root));

/** What is read of a package.json. */
interface Manifest {
  readonly name?: string;
  readonly version: string;
  readonly repository?: string | { readonly url: string };
}

const readPackage = (file: string): Manifest => JSON.parse(readFileSync(file, "utf8"));

export const ownVersion = (): string => readPackage(packageFile("package.json")).version;

/** Where people write about the package, as the end of a sentence: an issue, at its address if package.json has one. */
export function issuePlace({ repository } = readPackage(packageFile("package.json"))): string {
  const address = (typeof repository === "object" ? repository.url : repository) ?? "";
  const [, page] = /^(?:git\+)?(https:\/\/.+?)(?:\.git)?$/.exec(address) ?? [];
  return page ? `an issue at ${page}/issues` : "an issue of shadenet's repository";
}

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
