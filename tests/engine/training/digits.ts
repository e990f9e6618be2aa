// Shared by the tests that train: digits in the bytes of MNIST's files.

/** An idx file: its magic number, a size per dimension, bytes. */
export function idx(sizes: readonly number[], data: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  [0x0800 + sizes.length, ...sizes].forEach((value, i) => {
    header.setUint32(4 * i, value);
  });
  return Buffer.concat([new Uint8Array(header.buffer), data]);
}

/** Images that a net can tell apart, and their labels: of the class c, a bar at c, in ink that differs. */
export function madeDigits(count: number): { readonly images: Uint8Array; readonly labels: Uint8Array } {
  const pixels = new Uint8Array(count * 28 * 28);
  const classes = Uint8Array.from({ length: count }, (_, n) => n % 10);
  for (let n = 0; n < count; n++) {
    for (let y = 4; y < 24; y++)
      pixels.fill(
        255 - ((17 * n + y) % 64),
        (n * 28 + y) * 28 + 2 * classes[n] + 3,
        (n * 28 + y) * 28 + 2 * classes[n] + 6,
      );
  }
  return { images: idx([count, 28, 28], pixels), labels: idx([count], classes) };
}
