import type { ParamPlan, Place, Plan } from "../graph/plan.ts";
import { GpuError, show } from "../ground/errors.ts";
import { formatBytes, roundUp, type Shape, sizeOf } from "../ground/tensor.ts";

/** Tensors one after the other in memory, so that one dispatch can go through all of them. */
export interface Arena {
  /** Elements, of which those between tensors are zeros. */
  readonly size: number;
  readonly parts: ReadonlyMap<string, { readonly shape: Shape; readonly offset: number }>;
}

/** Elements: WebGPU's default alignment of what is bound, 256 bytes. */
const ALIGNMENT = 64;

/** As few arenas as a binding of `limit` bytes allows. Throws a GpuError (LIMIT) for a tensor that is over it by itself. */
export function layOut(tensors: ReadonlyMap<string, Shape>, limit: number): Arena[] {
  const arenas: { size: number; parts: Map<string, { shape: Shape; offset: number }> }[] = [];
  for (const [name, shape] of tensors) {
    const size = roundUp(sizeOf(shape), ALIGNMENT);
    if (4 * size > limit) {
      throw new GpuError(
        "LIMIT",
        `${show(name)} has ${formatBytes(4 * size)}, and the device binds at most ${formatBytes(limit)}: it cannot be trained there`,
      );
    }
    let arena = arenas.at(-1);
    if (!arena || 4 * (arena.size + size) > limit) {
      arena = { size: 0, parts: new Map() };
      arenas.push(arena);
    }
    arena.parts.set(name, { shape, offset: arena.size });
    arena.size += size;
  }
  return arenas;
}

/** The names of arenas on the device: one of each kind, such as "weights" and "gradients", for each of the layout. */
export const arenaName = (kind: string, index: number): string => `${kind} ${index}`;

/** The same plan with parameters as parts of larger ones: `home` tells which, and at which of its elements they begin. */
export function link(
  plan: Plan,
  home: (param: string) => { readonly arena: string; readonly size: number; readonly offset: number } | undefined,
): Plan {
  const params: ParamPlan[] = [];
  const indices = new Map<string, number>();
  const indexOf = (param: ParamPlan): number => {
    const index = indices.get(param.name) ?? params.push(param) - 1;
    indices.set(param.name, index);
    return index;
  };
  const moved = (place: Place | undefined): Place | undefined => {
    if (!place || "buffer" in place) return place;
    const param = plan.params[place.param];
    const part = home(param.name);
    if (!part) return { ...place, param: indexOf(param) };
    const { arena, size, offset } = part;
    const index = indexOf({ name: arena, shape: [size], pieces: [size] });
    return { param: index, piece: 0, offset: 4 * offset, size: 4 * sizeOf(param.shape) };
  };
  const steps = plan.steps.map((step) => ({
    ...step,
    bindings: step.bindings.map((binding) => ({ ...binding, place: moved(binding.place) })),
  }));
  const outputs = plan.outputs.map((output) => ({ ...output, place: moved(output.place) as Place }));
  return { ...plan, params, steps, outputs };
}
