import { COPY_DST, STORAGE, UNIFORM } from "../engine/device/usage.ts";
import type { Gpu } from "../engine/gpu.ts";
import { type Dtype, specialize, storedAs } from "../engine/graph/kernel.ts";
import { frame, type Transforms, triangleWeights } from "../engine/image/image.ts";
import type { PictureInput } from "../engine/image/picture.ts";
import { preprocess as wgsl } from "./wgsl.ts";

const WORKGROUP = 8;

const BINDINGS = [
  { index: 0, type: "texture" },
  { index: 1, type: "read-only-storage" },
  { index: 2, type: "storage" },
  { index: 3, type: "uniform" },
] as const;

/** Bytes of the WGSL's struct Params. */
const PARAMS_BYTES = 64;

/**
 * A picture as a classifier's input, [1, channels, crop, crop], without a way through ordinary memory: what preprocess()
 * of engine/image.ts makes of it. The texture stays the caller's, and must live as long as the result. Throws a
 * UsageError for transforms that make no sense.
 */
export async function preprocessTexture(
  gpu: Gpu,
  texture: GPUTexture,
  transforms: Transforms,
  channels: number,
  dtype: Dtype,
): Promise<PictureInput> {
  const { device } = gpu;
  const { crop, mean, std } = transforms;
  const { width, height, kept, left, top } = frame(texture, transforms, channels);
  const columns = triangleWeights(texture.width, width, kept.left, kept.width);
  const rows = triangleWeights(texture.height, height, kept.top, kept.height);
  const values = concat([columns.start, columns.values, rows.start, rows.values]);

  const code = specialize(wgsl, { WORKGROUP, GREY: channels === 1 });
  const pipeline = await gpu.pipeline("preprocess", storedAs(dtype, "preprocess", code), BINDINGS);
  const weights = await gpu.createBuffer("preprocess weights", values.byteLength, STORAGE | COPY_DST);
  const params = await gpu.createBuffer("preprocess params", PARAMS_BYTES, UNIFORM | COPY_DST).catch((error) => {
    gpu.destroyBuffer(weights);
    throw error;
  });
  device.queue.writeBuffer(weights, 0, values);
  return {
    write(encoder, input, start) {
      const bytes = new ArrayBuffer(PARAMS_BYTES);
      new Uint32Array(bytes).set([kept.width, kept.height, left, top, columns.taps, rows.taps, crop, start]);
      new Float32Array(bytes).set(mean, 8);
      new Float32Array(bytes).set(std, 12);
      device.queue.writeBuffer(params, 0, bytes);
      const resources = [texture.createView(), { buffer: weights }, { buffer: input }, { buffer: params }];
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(
        0,
        device.createBindGroup({
          layout: pipeline.getBindGroupLayout(0),
          entries: resources.map((resource, binding) => ({ binding, resource })),
        }),
      );
      const groups = Math.ceil(crop / WORKGROUP);
      pass.dispatchWorkgroups(groups, groups);
      pass.end();
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
