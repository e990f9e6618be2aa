// Sources that a visitor has edited: kept in the browser by the kernel's name, and packed for an address.

/** No kernel is nearly as long, and what unpacks to more is none. */
export const MOST_LETTERS = 200_000;

const keyOf = (kernel: string): string => `shadenet kernel ${kernel}`;

/** Keeps the edit of a kernel, or forgets it; some browsers keep nothing. */
export function keepDraft(kernel: string, wgsl: string | undefined): void {
  try {
    if (wgsl === undefined) localStorage.removeItem(keyOf(kernel));
    else localStorage.setItem(keyOf(kernel), wgsl);
  } catch {
    // readDraft() finds nothing then.
  }
}

export function readDraft(kernel: string): string | undefined {
  try {
    return localStorage.getItem(keyOf(kernel)) ?? undefined;
  } catch {
    return undefined;
  }
}

/** Text, deflated and in the letters of base64url. */
export async function pack(text: string): Promise<string> {
  const bytes = new Uint8Array(await new Response(through(text, new CompressionStream("deflate-raw"))).arrayBuffer());
  const letters = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return letters.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** What pack() was given. Throws an Error where it is damaged, or unpacks to more than MOST_LETTERS. */
export async function unpack(packed: string): Promise<string> {
  try {
    const bytes = Uint8Array.from(atob(packed.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const text = new TextDecoder("utf-8", { fatal: true });
    let unpacked = "";
    const reader = through(bytes, new DecompressionStream("deflate-raw")).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return unpacked + text.decode();
      unpacked += text.decode(value, { stream: true });
      if (unpacked.length <= MOST_LETTERS) continue;
      await reader.cancel();
      break;
    }
  } catch {
    throw new Error("the address has a source that is damaged: was it cut off?");
  }
  throw new Error(`the address has a source of more than ${MOST_LETTERS} letters`);
}

const through = (data: BlobPart, stream: GenericTransformStream): ReadableStream<Uint8Array> =>
  new Blob([data]).stream().pipeThrough(stream as ReadableWritablePair<Uint8Array, Uint8Array>);

/** Reads a file of WGSL. Throws an Error where it is too long, or no text. */
export async function readSourceFile(file: File): Promise<string> {
  if (file.size > MOST_LETTERS) {
    throw new Error(`${file.name} has ${file.size} bytes; wanted a .wgsl file of ${MOST_LETTERS} at most`);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (!text.includes("\0")) return text.replaceAll("\r\n", "\n");
  } catch {
    // The same is wrong with it.
  }
  throw new Error(`${file.name} is no text in UTF-8; wanted a .wgsl file`);
}
