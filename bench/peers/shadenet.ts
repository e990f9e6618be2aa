import type { Open } from "./engines.ts";

export const open: Open = async ({ net, shape, weights }, input, host) => {
  const { openGpu } = await host.loadShadenet();
  const gpu = await openGpu();
  const loaded = await gpu.loadNet(net, { weights, batch: shape[0] });
  return async () => (await loaded.run(input)).logits.data;
};
