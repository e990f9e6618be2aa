/**
 * A tile of the kernels for GPUs: as many pixels as output channels, 4 `each` of both per thread, `side` threads across and
 * down.
 */
export interface Tile {
  /** A workgroup may have 256 threads, all slices together. */
  readonly side: 4 | 8 | 16;
  /** A tile's steps take 512 * `each` * `side` * `slices` bytes of the 16 KiB that a workgroup may have. */
  readonly each: number;
  /** Parts of the workgroup that share the sum over the filter: 1, or with `side` * `each` up to 8 a power of two. */
  readonly slices: number;
  /** The share of a GPU's arithmetic that it reaches on large images. */
  readonly efficiency: number;
}

/** The tiles that there are, a row each; a kernel, a matrix product, a variant and a rate are made of every row. */
export const TILES: readonly Tile[] = [
  { side: 8, each: 2, slices: 1, efficiency: 0.6 },
  { side: 8, each: 1, slices: 4, efficiency: 0.3 },
  { side: 4, each: 1, slices: 8, efficiency: 0.15 },
  { side: 16, each: 2, slices: 1, efficiency: 0.7 },
];

/** Pixels, and output channels. */
export const sizeOfTile = ({ side, each }: Tile): number => 4 * side * each;

/** Tiles on matrix units: pixels, and as many channels. Sums there are added up by units of their own, hence more than 1. */
export const MATRIX_TILES = [
  { size: 64, efficiency: 2 },
  { size: 128, efficiency: 3 },
];

/** What a kernel for tiles of such a size is called. */
export const tileName = (kernel: string, size: number): string => (size === 64 ? kernel : `${kernel}_${size}`);

/**
 * What the kernels of all tiles are called that compute conv2d, or matmul (batches of products), with their efficiencies. With
 * products in f16 it is the same, so that they are taken only where they were measured to be faster.
 */
export const efficienciesOf = (operator: string): Record<string, number> =>
  Object.fromEntries([
    ...TILES.flatMap((tile) =>
      ["tile", "tile_f16"].map((kind) => [tileName(`${operator}_${kind}`, sizeOfTile(tile)), tile.efficiency]),
    ),
    ...MATRIX_TILES.map(({ size, efficiency }) => [tileName(`${operator}_matrix`, size), efficiency]),
  ]);
