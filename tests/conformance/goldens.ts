// Reads the reference outputs of tests/goldens/, or any file of their formats: see conformance.ts.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fileSource } from "../../engine/node/files.ts";
import { openSafetensors } from "../../engine/weights/safetensors.ts";
import type { NetsFile } from "../../tools/hashinit.ts";
import type { CasesFile } from "./conformance.ts";

/** The folder of the sources, seen from dist/tests. */
export const GOLDENS = fileURLToPath(new URL("../../../tests/goldens/", import.meta.url));

/** Opens a file of operator cases with the safetensors file that it names, beside it. */
export async function openCases(path: string = join(GOLDENS, "cases.json")): Promise<CasesFile> {
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  return {
    cases: manifest.cases,
    tensors: await openSafetensors(await fileSource(join(dirname(path), manifest.tensors))),
  };
}

export const readNets = (path: string = join(GOLDENS, "nets.json")): NetsFile => JSON.parse(readFileSync(path, "utf8"));
