import { readFile, stat } from "node:fs/promises";
import { fileError } from "../engine/node/files.ts";
import { FileError } from "../index.ts";

/** A longer file holds no labels. */
const MAX_BYTES = 16 * 2 ** 20;

/** Names of classes from a file: see parseLabels(). Throws a FileError. */
export async function readLabels(path: string): Promise<string[]> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new FileError(`${path} is too large for labels: it has more than 16 MiB`);
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw cause instanceof FileError ? cause : fileError("read", path, cause);
  }
  const labels = parseLabels(text);
  if (labels) return labels;
  throw new FileError(
    `${path} holds no labels; wanted one a line, or JSON: ["cat", "dog"], {"0": "cat", "1": "dog"} or {"cat": 0, "dog": 1}`,
  );
}

/**
 * One label a line, or JSON: an array; an object by number, whose values may be lists that end in the label, as in
 * {"0": ["n02123045", "tabby"]}; an object by label, as torchvision's class_to_idx. Undefined for anything else.
 */
export function parseLabels(text: string): string[] | undefined {
  const plain = text.replace(/^\uFEFF/, "").trim();
  if (plain === "" || plain.includes("\0")) return undefined;
  if (!/^[[{]/.test(plain)) return plain.split(/\r?\n/).map((line) => line.trim());
  let json: unknown;
  try {
    json = JSON.parse(plain);
  } catch {
    return undefined;
  }
  const entries = Object.entries(json as Record<string, unknown>);
  const isByLabel = entries.every(([, value]) => typeof value === "number");
  const labels: unknown[] = [];
  for (const [key, value] of entries) {
    if (isByLabel) labels[value as number] = key;
    else labels[Number(key)] = Array.isArray(value) ? value.at(-1) : value;
  }
  // Array.from() shows gaps, which every() would pass over.
  const isWhole = labels.length === entries.length && Array.from(labels).every((label) => typeof label === "string");
  return isWhole ? (labels as string[]) : undefined;
}
