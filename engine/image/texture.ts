import type { Device } from "../device/device.ts";
import { encode } from "../device/executable.ts";
import { COPY_DST, STORAGE, UNIFORM } from "../device/usage.ts";
import { packParams, type Reflection, specialize, storedAs } from "../graph/wgsl.ts";
import type { Dtype } from "../ground/options.ts";
import { frame, resamplingWeights } from "./image.ts";
import type { PictureInput } from "./picture.ts";
import type { Transforms } from "./transforms.ts";

/** A kernel that prepares pictures: kernels/preprocess.ts. */
export interface PictureKernel {
  readonly name: string;
  readonly wgsl: string;
  readonly reflection: Reflection;
  /** Threads across and down a workgroup. */
  readonly workgroup: number;
}

/**
 * A picture as a classifier's input, [1, channels, crop, crop], without a way through ordinary memory. The texture stays
 * the caller's, and must live as long as the result. Throws a UsageError for transforms that make no sense.
 */
export async function prepareTexture(
  gpu: Device,
  { name, wgsl, reflection, workgroup }: PictureKernel,
  texture: GPUTexture,
  transforms: Transforms,
  channels: number,
  dtype: Dtype,
): Promise<PictureInput> {
  const { device } = gpu;
  const { crop, mean, std, interpolation } = transforms;
  const { width, height, kept, left, top } = frame(texture, transforms, channels);
  const columns = resamplingWeights(texture.width, width, kept.left, kept.width, interpolation);
  const rows = resamplingWeights(texture.height, height, kept.top, kept.height, interpolation);
  const values = concat([columns.start, columns.values, rows.start, rows.values]);
  const fields = {
    kept_width: kept.width,
    kept_height: kept.height,
    left,
    top,
    column_taps: columns.taps,
    row_taps: rows.taps,
    crop,
    // Grey pictures have one of each, which the WGSL does not read further than.
    ...Object.fromEntries(
      [0, 1, 2].flatMap((c) => [
        [`mean${c}`, mean[c] ?? 0],
        [`deviation${c}`, std[c] ?? 1],
      ]),
    ),
  };

  const code = specialize(wgsl, { WORKGROUP: workgroup, GREY: channels === 1 });
  const pipeline = await gpu.pipeline(name, storedAs(dtype, name, code), reflection.bindings);
  const paramsBytes = packParams(name, reflection.params, { ...fields, start: 0 }).byteLength;
  const weights = await gpu.createBuffer(`${name} weights`, values.byteLength, STORAGE | COPY_DST);
  const params = await gpu.createBuffer(`${name} params`, paramsBytes, UNIFORM | COPY_DST).catch((error) => {
    gpu.destroyBuffer(weights);
    throw error;
  });
  device.queue.writeBuffer(weights, 0, values);
  return {
    write(encoder, input, start) {
      const packed = packParams(name, reflection.params, { ...fields, start });
      device.queue.writeBuffer(params, 0, packed as Uint8Array<ArrayBuffer>);
      const resources: Readonly<Record<string, GPUBindingResource>> = {
        x: texture.createView(),
        weights: { buffer: weights },
        y: input,
        params: { buffer: params },
      };
      const entries = reflection.bindings.map(({ index, name }) => ({ binding: index, resource: resources[name] }));
      const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
      const groups = Math.ceil(crop / workgroup);
      encode(encoder, [{ pipeline, group, grid: [groups, groups, 1] }]);
    },
    dispose() {
      gpu.destroyBuffer(weights);
      gpu.destroyBuffer(params);
    },
  };
}

function concat(parts: readonly Int32Array[]): Int32Array<ArrayBuffer> {
  const all = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  return all;
}
