import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ownVersion, packageFile } from "../../tools/package.ts";
import type { EngineName, Engines } from "./engines.ts";

/** The folder that `npm ci --prefix bench/peers` fills. */
const peersFolder = packageFile("bench/peers");

/** The packages of some engines that are not installed. */
export const missingPackages = (engines: Engines, names: readonly EngineName[], folder = peersFolder): string[] =>
  names.flatMap((name) => engines[name]?.packages ?? []).filter((name) => !existsSync(manifest(name, folder)));

const manifest = (name: string, folder: string): string => join(folder, "node_modules", name, "package.json");

/** The installed version of an engine. */
export function versionOf(engines: Engines, engine: EngineName): string {
  const { packages: [name] = [], version = ownVersion() } = engines[engine] ?? {};
  return name ? JSON.parse(readFileSync(manifest(name, peersFolder), "utf8")).version : version;
}

/** The version of the PyTorch that python3 has; undefined where it has none. */
export const findPyTorch = (signal: AbortSignal): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    execFile("python3", ["-c", "import torch; print(torch.__version__)"], { signal }, (error, stdout) => {
      if (signal.aborted) reject(signal.reason);
      else resolve(error ? undefined : stdout.trim());
    });
  });

/** Loads a package from bench/peers/node_modules, which is not where Node looks from here. */
export const requirePeer = createRequire(join(peersFolder, "package.json"));
