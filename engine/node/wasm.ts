import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { FileError } from "../ground/errors.ts";

const require = createRequire(import.meta.url);
const modules = new Map<string, WebAssembly.Module>();

/** Functions of numbers and the memory that they work on. */
export type Wasm<Call extends string> = Record<Call, (...args: number[]) => number> & {
  readonly memory: WebAssembly.Memory;
};

/**
 * A fresh instance of a decoder for each image, by its file in a package: its memory goes away with it, and a broken file
 * cannot harm the next one. The decoders have neither files nor a way out: whatever needs one throws.
 */
export function openWasm<Call extends string>(file: string): Wasm<Call> {
  const module = modules.get(file) ?? compile(file);
  modules.set(file, module);
  const fail = () => {
    throw new Error("damaged data, or a rare kind of file");
  };
  const files = { fd_close: fail, fd_seek: fail, fd_write: fail };
  const wasi = { environ_sizes_get: () => 0, environ_get: fail, proc_exit: fail, ...files };
  const imports = { env: { setjmp: () => 0, longjmp: fail }, wasi_snapshot_preview1: wasi };
  return new WebAssembly.Instance(module, imports).exports as unknown as Wasm<Call>;
}

function compile(file: string): WebAssembly.Module {
  try {
    return new WebAssembly.Module(readFileSync(require.resolve(file)));
  } catch (cause) {
    const advice = "if shadenet is in a bundle for a server, leave it out there (serverExternalPackages in Next)";
    throw new FileError(`the decoder ${file} cannot be read; ${advice}`, { cause });
  }
}

/** Memory can grow with every call: what is to be read or written is looked up after it. */
export const memoryOf = ({ memory }: Wasm<never>, at: number, length: number): Uint8Array =>
  new Uint8Array(memory.buffer, at, length);
