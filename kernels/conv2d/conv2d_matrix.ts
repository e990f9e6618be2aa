import { constsFor, sourceFor } from "../../engine/graph/matrices.ts";
import type { Matrices } from "../../engine/graph/variant.ts";
import { wgsl as source } from "./conv2d_matrix.wgsl.ts";
import { kernelsBy, type TileKernels } from "./conv2d_tile.ts";
import { MATRIX_TILES } from "./tiles.ts";

/** Bytes of the workgroup's memory that are taken at most: the first where factors are f16, the second where they are f32. */
const MOST_MEMORY = { f16: 32768, f32: 16384 };

/** Input channels at a time, in vec4. */
const DEPTHS = [8, 4];

/**
 * Pixels of each quarter whose sums are written at a time: with all 32 of a tile of 64 at once, which saves two barriers, an AMD GPU
 * would have room for 8 subgroups where it has 12.
 */
const ROWS = [16, 8];

/**
 * How many input channels at a time, and how many of the sums in the end, the workgroup's memory holds of a tile; undefined
 * where it is too small.
 */
function partsOf(size: number, { m, factors, memory }: Matrices) {
  const bytes = factors === "f16" ? 2 : 4;
  const half = size / 2;
  for (const DEPTH of DEPTHS) {
    const steps = bytes * (size * (4 * DEPTH + 8) + 4 * DEPTH * (size + 8));
    for (const AT_ONCE of ROWS.filter((rows) => rows >= m)) {
      if (steps + 16 * AT_ONCE * (half + 4) <= Math.min(memory, MOST_MEMORY[factors])) return { DEPTH, AT_ONCE };
    }
  }
  return undefined;
}

const made = new Map<string, readonly TileKernels[]>();

/**
 * The kernels of conv2d_tile.ts by the matrix units of a GPU, of every tile that its workgroups have the memory for. With
 * factors in f16 tensors are f16, too; with factors in f32 they are either.
 */
export function matrixKernels(matrices: Matrices): readonly TileKernels[] {
  const key = JSON.stringify(matrices);
  const known = made.get(key);
  if (known) return known;
  const wgsl = sourceFor(source, matrices);
  const kernels = MATRIX_TILES.flatMap(({ size }) => {
    const parts = partsOf(size, matrices);
    return parts ? kernelsBy("matrix", { size, wgsl, consts: { PIXELS: size, ...constsFor(matrices), ...parts } }) : [];
  });
  made.set(key, kernels);
  return kernels;
}
