import { show, WeightsError } from "../ground/errors.ts";
import { type Shape, sameShape } from "../ground/tensor.ts";
import { type Checkpoint, OPTIMIZER, quote } from "../weights/checkpoint.ts";
import { type arenasOf, shapesOf } from "./state.ts";
import type { Source } from "./trainer.ts";

/**
 * What a training goes on from, which owns the checkpoint. Throws a WeightsError, and closes it, unless the checkpoint has the
 * net's tensors, what the optimizer keeps of those in the arenas, and how many steps there were.
 */
export async function resumed(
  checkpoint: Checkpoint,
  wanted: ReadonlyMap<string, Shape>,
  arenas: ReturnType<typeof arenasOf>,
  optimizer: string,
): Promise<Source> {
  const shapes = shapesOf(arenas);
  const moments = arenas
    .filter(({ prefix }) => prefix.startsWith(OPTIMIZER))
    .flatMap(({ prefix, arena }) =>
      [...arena.parts.values()].map(({ of }) => [prefix + of, shapes.get(of) as Shape] as const),
    );
  try {
    const steps = stepsOf(checkpoint, optimizer);
    checkState(checkpoint, wanted, "it is of another net, or for another number of classes");
    checkState(checkpoint, moments, "other parameters were trained then: give the same trainable");
    return { checkpoint, steps, fresh: [] };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

function checkState(checkpoint: Checkpoint, wanted: Iterable<readonly [string, Shape]>, why: string): void {
  for (const [name, shape] of wanted) {
    const { shape: got } = checkpoint.tensors.get(name) ?? {};
    if (got && sameShape(got, shape)) continue;
    const what = got ? `has ${quote(name)} in another shape` : `lacks ${quote(name)}`;
    throw new WeightsError(`${checkpoint.name} ${what}: ${why}`);
  }
}

/** How many steps a training had when it was saved to a checkpoint. */
function stepsOf(checkpoint: Checkpoint, optimizer: string): number {
  const { name } = checkpoint;
  const kept = keptTraining(checkpoint);
  if (Number.isSafeInteger(kept?.steps) && (kept?.steps as number) >= 0) {
    if (kept?.optimizer === optimizer) return kept.steps as number;
    throw new WeightsError(
      `${name} is of a training by ${show(kept?.optimizer)}; it cannot go on by ${show(optimizer)}`,
    );
  }
  throw new WeightsError(
    `${name} does not say how many steps its training had: it is not what a training was saved to`,
  );
}

/** What a checkpoint tells of the training that was saved to it, unchecked; undefined where it tells nothing. */
export function keptTraining({
  metadata,
}: Checkpoint): { readonly steps?: unknown; readonly batch?: unknown; readonly optimizer?: unknown } | undefined {
  try {
    return Object(JSON.parse(metadata?.training ?? ""));
  } catch {
    return undefined;
  }
}
