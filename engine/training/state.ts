import type { Executable } from "../device/executable.ts";
import type { Plan } from "../graph/plan.ts";
import type { Optimizer } from "../graph/training.ts";
import { type Shape, sizeOf, type Tensor } from "../ground/tensor.ts";
import { type Checkpoint, OPTIMIZER } from "../weights/checkpoint.ts";
import { type Arena, arenaName } from "./arena.ts";
import type { TrainingStep } from "./graph.ts";

// What a training keeps on the device, and how it gets there and back. Files have parameters and statistics by their names,
// and what the optimizer keeps of a parameter as "optimizer.m.NAME".

type Kept = Pick<TrainingStep, "weights" | "statistics">;

/** The arenas of a training by their names, and what comes before the names of their tensors. */
export function arenasOf({ weights, statistics }: Kept, { moments }: Pick<Optimizer, "moments">, gradients = false) {
  const kinds: readonly (readonly [kind: string, prefix: string, arenas: readonly Arena[]])[] = [
    ["weights", "", weights],
    ...moments.map((kind) => [kind, `${OPTIMIZER}${kind}.`, weights] as const),
    ...(gradients ? [["gradients", "gradient.", weights] as const] : []),
    ["statistics", "", statistics],
  ];
  return kinds.flatMap(([kind, prefix, arenas]) =>
    arenas.map((arena, i) => ({ name: arenaName(kind, i), prefix, arena })),
  );
}

/** Reads arenas from the device into tensors by their names. `prepare` puts a plan on it, `release` takes it off. */
export async function readArenas(
  arenas: ReturnType<typeof arenasOf>,
  prepare: (plan: Plan) => Promise<Executable>,
  release: (plan: Plan) => Promise<void>,
): Promise<Map<string, Tensor>> {
  const tensors = new Map<string, Tensor>();
  const shapes = shapesOf(arenas);
  const empty = (shape: Shape): Tensor => ({ shape, data: new Float32Array(sizeOf(shape)) });
  for (const { name, prefix, arena } of arenas) {
    const plan = readingPlan(name, arena.size);
    const { y } = await (await prepare(plan)).run({});
    await release(plan);
    for (const { of, start, shape, offset } of arena.parts.values()) {
      const whole = tensors.get(prefix + of) ?? empty(shapes.get(of) as Shape);
      whole.data.set(y.data.subarray(offset, offset + sizeOf(shape)), start);
      tensors.set(prefix + of, whole);
    }
  }
  return tensors;
}

/** The shapes of the tensors whose pieces are in arenas. */
export function shapesOf(arenas: ReturnType<typeof arenasOf>): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (const { prefix, arena } of arenas) {
    if (prefix !== "") continue;
    for (const { of, shape } of arena.parts.values())
      shapes.set(of, shape.length === 0 ? shape : shape.with(0, shape[0] + (shapes.get(of)?.[0] ?? 0)));
  }
  return shapes;
}

/** A plan that does nothing, and whose output is an arena. */
const readingPlan = (arena: string, size: number): Plan => ({
  dtype: "f32",
  steps: [],
  buffers: [],
  params: [{ name: arena, shape: [size], pieces: [size] }],
  inputs: [],
  outputs: [{ name: "y", shape: [size], place: { param: 0, piece: 0 } }],
  activationLowerBound: 0,
});

/**
 * The arenas as a checkpoint: weights and statistics of `source()`, what it has of the optimizer's, and zeros. Other tensors
 * are those of the source.
 */
export function stateOf(source: () => Checkpoint, arenas: ReturnType<typeof arenasOf>): Checkpoint {
  const byName = new Map(arenas.map((each) => [each.name, each]));
  return {
    name: source().name,
    tensors: source().tensors,
    close: () => source().close(),
    async read(name, start = 0, count) {
      const { read, tensors } = source();
      const found = byName.get(name);
      if (!found) return read(name, start, count);
      const { arena, prefix } = found;
      const length = count ?? arena.size - start;
      const values = new Float32Array(length);
      for (const { of, start: first, shape, offset } of arena.parts.values()) {
        const begin = Math.max(start, offset);
        const end = Math.min(start + length, offset + sizeOf(shape));
        if (begin >= end || (prefix !== "" && !tensors.has(prefix + of))) continue;
        values.set(await read(prefix + of, first + begin - offset, end - begin), begin - start);
      }
      return values;
    },
  };
}
