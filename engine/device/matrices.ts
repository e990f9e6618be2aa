/** What Chromium tells of the matrices that subgroups can multiply; Dawn in Node does not. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

type Info = GPUAdapterInfo & { readonly subgroupMatrixConfigs?: Iterable<MatrixConfig> };

/**
 * True for 16x16 in f16 with f32 sums, by subgroups that fit four to a workgroup, of an adapter that has the feature. All tensor
 * cores of NVIDIA have it.
 */
export function offersMatrices(info: Info, subgroupSize: number): boolean {
  if (subgroupSize === 0 || subgroupSize > 64) return false;
  if (!info.subgroupMatrixConfigs) return info.vendor === "nvidia";
  return [...info.subgroupMatrixConfigs].some(
    ({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" && resultComponentType === "f32" && M === 16 && N === 16 && K === 16,
  );
}
