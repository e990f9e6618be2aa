import { type AnyNet, findNet } from "../engine/definition.ts";
import { openFile } from "../engine/node/files.ts";
import type { OpenSource } from "../engine/weights/open.ts";
import { type Gpu, type LoadOptions, type Net, nets } from "../index.ts";
import type { Context } from "./command.ts";
import { complain, openProgress } from "./terminal.ts";

/** A net on an open GPU. */
export interface Session {
  readonly gpu: Gpu;
  readonly net: Net;
  close(): void;
}

/** Opens the GPU; what is odd about it is told on stderr. */
export async function openDevice({ openGpu }: Context): Promise<Gpu> {
  const gpu = await openGpu();
  for (const warning of gpu.warnings) complain(`warning: ${warning}`);
  return gpu;
}

/** What a command takes for a net. */
export const NET_HELP = `a .onnx file, or one of ${Object.keys(nets).join(", ")}`;

/** A net by its name, or the one that a .onnx file has. Throws a UsageError for a name that there is not. */
export const netNamed = async (name: string): Promise<AnyNet> =>
  // What reads them is loaded by a command that is given one.
  /\.onnx$/i.test(name) ? (await import("../onnx.ts")).readOnnx(name, openEachTime) : findNet(nets, name);

/** A file that is opened for every read, so that nothing has to be closed at the end. */
const openEachTime: OpenSource = async (location, options) => {
  const first = await openFile(location, options);
  await first.close?.();
  return {
    ...first,
    async read(offset, length) {
      const source = await openFile(location, options);
      return source.read(offset, length).finally(() => source.close?.());
    },
    close: async () => {},
  };
};

/** Opens the GPU and loads a net, with a progress bar; what is odd about its weights is told on stderr. */
export async function openNet(
  definition: AnyNet,
  options: LoadOptions & { readonly [option: string]: unknown },
  context: Context,
): Promise<Session> {
  const gpu = await openDevice(context);
  const progress = await openProgress(`Loading ${definition.name}`);
  try {
    const onProgress: LoadOptions["onProgress"] = ({ loaded, total }) => progress.update(loaded, total);
    const net = await gpu.loadNet(definition, { ...options, signal: context.signal, onProgress });
    for (const warning of net.warnings) complain(`warning: ${warning}`);
    const close = () => {
      net.dispose();
      gpu.close();
    };
    return { gpu, net, close };
  } catch (error) {
    gpu.close();
    throw error;
  } finally {
    progress.stop();
  }
}
