// IEEE 754 binary16, rounded to nearest, ties to even.

const scratch = new DataView(new ArrayBuffer(4));

/** The float32 of these 32 bits. */
export function fromBits(bits: number): number {
  scratch.setInt32(0, bits);
  return scratch.getFloat32(0);
}

function toBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getInt32(0);
}

/** The value of an IEEE 754 binary16 given as its 16 bits. */
export function fromHalf(half: number): number {
  const magnitude = half & 0x7fff;
  // Read as a float32 the same fields mean 2^(15 - 127) times as much, and that holds for subnormals too.
  const value = magnitude < 0x7c00 ? fromBits(magnitude << 13) * 2 ** 112 : magnitude > 0x7c00 ? NaN : Infinity;
  return half & 0x8000 ? -value : value;
}

/** The 16 bits of the binary16 nearest to a float32, ties to even as in IEEE 754; 65520 and more become infinity. */
export const toHalf = (value: number): number => halfOfBits(toBits(value));

/** The same from the 32 bits of the float32, which arrays of many give faster. */
export function halfOfBits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return 0x7e00;
  // Below 2^-14. Next to 0.5 a float32 is as coarse as a subnormal half, so the addition does the rounding.
  if (size < 0x38800000) return sign | (toBits(fromBits(size) + 0.5) - toBits(0.5));
  return sign | Math.min(((size + 0xfff + ((size >> 13) & 1)) >> 13) - (112 << 10), 0x7c00);
}
