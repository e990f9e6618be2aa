import { GpuError, isTexts } from "./errors.ts";

export interface Prediction {
  readonly label: string;
  readonly index: number;
  readonly probability: number;
}

/**
 * Names of a net's classes: those that a file keeps beside its tensors, as a training saves them, else the net's own, which
 * are for its own last layer only.
 */
export async function labelsOf(
  net: { readonly options: { readonly numClasses: number }; labels(): Promise<readonly string[]> },
  numClasses: number,
  { metadata }: { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<readonly string[]> {
  const kept = namesIn(metadata?.classes);
  if (kept?.length === numClasses) return kept;
  return numClasses === net.options.numClasses ? net.labels() : [];
}

function namesIn(text = ""): readonly string[] | undefined {
  try {
    const names: unknown = JSON.parse(text);
    return isTexts(names) ? names : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The most probable classes of one picture, best first; those without a label are called by their numbers. Throws a
 * GpuError (OVERFLOW) where a probability is NaN.
 */
export function mostProbable(
  net: string,
  probabilities: Float32Array,
  labels: readonly string[],
  top: number,
): Prediction[] {
  if (probabilities.some(Number.isNaN)) {
    throw new GpuError(
      "OVERFLOW",
      `${net} answers NaN: its weights or its input hold NaN or infinities, or it goes beyond what its numbers hold; ` +
        'check the weights ("shadenet convert FILE" counts what is wrong)',
    );
  }
  return Array.from(probabilities, (probability, index) => ({
    label: labels[index] ?? `class ${index}`,
    index,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability || a.index - b.index)
    .slice(0, top);
}
