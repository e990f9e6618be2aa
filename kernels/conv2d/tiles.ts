/**
 * A tile of the kernels for GPUs: as many pixels as output channels, 4 `each` of both per thread, `side` threads across and
 * down.
 */
export interface Tile {
  /** 8 or 16: pixels are stored by their lower three bits, and a workgroup may have 256 threads. */
  readonly side: 8 | 16;
  /** At most 32 / `side`, since a tile's steps take 512 * `each` * `side` bytes of the 16 KiB that a workgroup may have. */
  readonly each: number;
  /** The share of a GPU's arithmetic that it reaches on large images. */
  readonly efficiency: number;
}

/** The tiles that there are, a row each; a kernel, a matrix product, a variant and a rate are made of every row. */
export const TILES: readonly Tile[] = [
  { side: 8, each: 2, efficiency: 0.6 },
  { side: 8, each: 1, efficiency: 0.35 },
  { side: 16, each: 2, efficiency: 0.7 },
];

/** Pixels, and output channels. */
export const sizeOfTile = ({ side, each }: Tile): number => 4 * side * each;

/** What a kernel for a tile is called. */
export const tileName = (kernel: string, tile: Tile): string => {
  const size = sizeOfTile(tile);
  return size === 64 ? kernel : `${kernel}_${size}`;
};

/** Tiles on matrix units: pixels, and as many channels. Sums there are added up by units of their own, hence more than 1. */
export const MATRIX_TILES = [
  { size: 64, name: "conv2d_matrix", efficiency: 2 },
  { size: 128, name: "conv2d_matrix_128", efficiency: 3 },
] as const;
