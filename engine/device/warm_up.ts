import type { BindingLayout } from "./device.ts";
import { encode } from "./executable.ts";
import { STORAGE, UNIFORM } from "./usage.ts";

/**
 * Makes a software adapter translate a kernel to machine code now, while weights are loading, and not when it is first run: a
 * dispatch whose Params are all zero, so that it does nothing.
 */
export function warmUp(device: GPUDevice, pipeline: GPUComputePipeline, bindings: readonly BindingLayout[]): void {
  if (bindings.some(({ type }) => type === "texture")) return;
  const buffers: GPUBuffer[] = [];
  const entries = bindings.map(({ index, type }) => {
    const usage = type === "uniform" ? UNIFORM : STORAGE;
    const buffer = device.createBuffer({ label: "nothing", size: 256, usage });
    buffers.push(buffer);
    return { binding: index, resource: { buffer } };
  });
  const encoder = device.createCommandEncoder();
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  encode(encoder, [{ pipeline, group, grid: [1, 1, 1] }]);
  device.queue.submit([encoder.finish()]);
  for (const buffer of buffers) buffer.destroy();
}
