import type { Open } from "./engines.ts";

export const open: Open = async ({ net, shape, weights }, input) => {
  const { openGpu } = await import("../../index.ts");
  const gpu = await openGpu();
  const loaded = await gpu.loadNet(net, { weights, batch: shape[0] });
  return async () => (await loaded.run(input)).logits.data;
};
