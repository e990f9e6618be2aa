/** A hash of 32 bits: M. O'Neill's PCG, as M. Jarzynski and M. Olano take it ("Hash functions for GPU rendering", 2020). */
export function pcg(v: number): number {
  const state = (Math.imul(v, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((state >>> ((state >>> 28) + 4)) ^ state, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}
