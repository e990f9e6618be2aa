import type { ParamPlan, Place, Plan } from "../graph/plan.ts";
import { GpuError, show } from "../ground/errors.ts";
import { formatBytes, roundUp, type Shape, sizeOf } from "../ground/tensor.ts";

/** What an arena holds of a tensor: all of it, or rows of it, which are a parameter of their own then. */
export interface Piece {
  readonly shape: Shape;
  /** The tensor's name, and its first element that is meant. */
  readonly of: string;
  readonly start: number;
}

/** Tensors one after the other in memory, so that one dispatch can go through all of them. */
export interface Arena {
  /** Elements, of which those between tensors are zeros. */
  readonly size: number;
  readonly parts: ReadonlyMap<string, Piece & { readonly offset: number }>;
}

/**
 * A tensor as pieces that the device can bind, by the names that they have as parameters: rows [o, ...] of one over `limit`
 * bytes. Throws a GpuError (LIMIT) where not even a row fits.
 */
export function piecesOf(name: string, shape: Shape, limit: number): Map<string, Piece> {
  const [rows = 1] = shape;
  const row = sizeOf(shape) / rows;
  const most = Math.floor(limit / 4 / row);
  if (most === 0) {
    const told = `a row of ${show(name)} has ${formatBytes(4 * row)}, and the device binds at most ${formatBytes(limit)}`;
    throw new GpuError("LIMIT", `${told}: it cannot be trained there`);
  }
  if (rows <= most) return new Map([[name, { shape, of: name, start: 0 }]]);
  // Of about the same size, in whole vec4s of rows.
  const count = Math.ceil(rows / most);
  const step = Math.min(most, Math.ceil(rows / count / 4) * 4);
  const pieces = new Map<string, Piece>();
  for (let start = 0; start < rows; start += step) {
    const end = Math.min(start + step, rows);
    pieces.set(`${name}[${start}:${end}]`, { shape: shape.with(0, end - start), of: name, start: start * row });
  }
  return pieces;
}

/** Elements: WebGPU's default alignment of what is bound, 256 bytes. */
const ALIGNMENT = 64;

/** As few arenas as a binding of `limit` bytes allows. Throws a GpuError (LIMIT) for a piece that is over it by itself. */
export function layOut(tensors: ReadonlyMap<string, Piece>, limit: number): Arena[] {
  const arenas: { size: number; parts: Map<string, Piece & { offset: number }> }[] = [];
  for (const [name, piece] of tensors) {
    const size = roundUp(sizeOf(piece.shape), ALIGNMENT);
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
    arena.parts.set(name, { ...piece, offset: arena.size });
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
