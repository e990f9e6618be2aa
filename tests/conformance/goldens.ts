// Reads the reference outputs of tests/goldens/, or any file of their formats: see conformance.ts.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { fileSource } from "../../engine/node/files.ts";
import type { Checkpoint } from "../../engine/weights/checkpoint.ts";
import { openSafetensors } from "../../engine/weights/safetensors.ts";
import type { NetsFile } from "../../tools/hashinit.ts";
import type { CasesFile, GradientsFile } from "./conformance.ts";
import type { TrainingFile } from "./training.ts";

/** The folder of the sources, seen from dist/tests. */
export const GOLDENS = fileURLToPath(new URL("../../../tests/goldens/", import.meta.url));

/** Opens a file of operator cases with the safetensors file that it names, beside it. */
export const openCases = (path: string = join(GOLDENS, "cases.json")): Promise<CasesFile> => openManifest(path);

/** Opens a file of cases of gradients in the same way. */
export const openGradients = (path: string): Promise<GradientsFile> => openManifest(path);

async function openManifest<T>(path: string): Promise<{ cases: readonly T[]; tensors: Checkpoint }> {
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  return {
    cases: manifest.cases,
    tensors: await openSafetensors(await fileSource(join(dirname(path), manifest.tensors))),
  };
}

export const readNets = (path: string = join(GOLDENS, "nets.json")): NetsFile => JSON.parse(readFileSync(path, "utf8"));

export const readTraining = (path: string): TrainingFile => JSON.parse(readFileSync(path, "utf8"));
