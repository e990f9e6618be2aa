import { gzipSync } from "node:zlib";
import { readMnist } from "../nets/weights/mnist.ts";

/** As many as make 300 KB at so many levels of grey: for a net this small more digits are worth more than more greys. */
const [COUNT, LEVELS] = [5_200, 4];

/** The first of MNIST's training digits, in fewer greys: the bytes of its two files, gzipped. */
export function smallMnist(): { readonly images: Uint8Array; readonly labels: Uint8Array } {
  const { images, labels } = readMnist("train");
  const pixels = images.slice(0, COUNT * 28 * 28).map((value) => {
    const level = Math.round((value / 255) * (LEVELS - 1));
    return Math.round((level / (LEVELS - 1)) * 255);
  });
  return { images: packed([COUNT, 28, 28], pixels), labels: packed([COUNT], labels.slice(0, COUNT)) };
}

function packed(sizes: readonly number[], data: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  for (const [i, value] of [0x0800 + sizes.length, ...sizes].entries()) header.setUint32(4 * i, value);
  return gzipSync(Buffer.concat([new Uint8Array(header.buffer), data]), { level: 9 });
}
