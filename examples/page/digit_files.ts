import type { DigitFiles } from "./worker/training.ts";

/** Where the page has its own digits: see examples/small_mnist.ts. */
export const BUNDLED: DigitFiles = { train: ["mnist-images.idx", "mnist-labels.idx"] };

const PUBLISHED = "https://ossci-datasets.s3.amazonaws.com/mnist/";

const pair = (split: string) =>
  [`${PUBLISHED}${split}-images-idx3-ubyte.gz`, `${PUBLISHED}${split}-labels-idx1-ubyte.gz`] as const;

/** All of MNIST, as PyTorch's project publishes it. */
export const PUBLISHED_DIGITS: DigitFiles = { train: pair("train"), test: pair("t10k") };

/** MNIST's files by their names; those of the test may be missing. Throws an Error that says which were wanted. */
export function sortFiles(files: readonly File[]): DigitFiles {
  const named = (split: RegExp, kind: RegExp) => files.find(({ name }) => split.test(name) && kind.test(name));
  const [train, test] = [/train/i, /t10k|test/i].map((split) => {
    const [images, labels] = [named(split, /image/i), named(split, /label/i)];
    return images && labels ? ([images, labels] as const) : undefined;
  });
  const first = train ?? test;
  if (first) return { train: first, test: train && test };
  const got = files.map(({ name }) => name).join(", ");
  throw new Error(
    `MNIST’s digits are train-images-idx3-ubyte and train-labels-idx1-ubyte, gzipped or not, best with the two of t10k; got ${got.slice(0, 200)}`,
  );
}
