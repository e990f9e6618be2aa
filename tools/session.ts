import type { Gpu, LoadOptions, Net } from "../index.ts";
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

/** Opens the GPU and loads a net, with a progress bar; what is odd about its weights is told on stderr. */
export async function openNet(
  name: string,
  options: LoadOptions & { readonly [option: string]: unknown },
  context: Context,
): Promise<Session> {
  const gpu = await openDevice(context);
  const progress = await openProgress(`Loading ${name}`);
  try {
    const onProgress: LoadOptions["onProgress"] = ({ loaded, total }) => progress.update(loaded, total);
    const net = await gpu.loadNet(name, { ...options, signal: context.signal, onProgress });
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
