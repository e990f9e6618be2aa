import { type Open, trainingOf } from "../engines.ts";
import { randomLabels } from "../input.ts";

export const open: Open = async (job, input, host) => {
  const { options, optimizer } = trainingOf(job);
  const { openGpu } = await host.loadShadenet();
  const gpu = await openGpu();
  const batch = job.shape[0];
  const trainer = await gpu.train(job.net, { ...options, batch, weights: job.weights, optimizer });
  const labels = randomLabels(batch, options.numClasses);
  return async () => [(await trainer.step(input, labels)).loss];
};
