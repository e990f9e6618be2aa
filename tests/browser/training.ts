// A training that is the same in Node, in a page and in a worker.
import type { Gpu } from "../../engine/gpu.ts";
import { pcg } from "../../engine/ground/hash.ts";
import { arrays } from "../../engine/training/data.ts";

const IMAGES = 16;

/** The loss of every step of LeNet-5 on noise, and at last that of all images. `tell` is called after each. */
export async function trainOnNoise(gpu: Gpu, tell: (loss: number) => void = () => {}): Promise<number[]> {
  const images = Float32Array.from({ length: IMAGES * 1024 }, (_, i) => pcg(i) / 2 ** 31 - 1);
  const dataset = arrays(
    images,
    Array.from({ length: IMAGES }, (_, i) => i % 10),
  );
  const trainer = await gpu.train("lenet5", { batch: 8, seed: 1, optimizer: { name: "sgd", lr: 0.01, momentum: 0.9 } });
  try {
    const losses: number[] = [];
    const onProgress = ({ loss }: { loss: number }) => {
      losses.push(loss);
      tell(loss);
    };
    for await (const { validation } of trainer.fit(dataset, { epochs: 2, validation: dataset, onProgress }))
      losses.push(validation?.loss ?? NaN);
    return losses;
  } finally {
    await trainer.dispose();
  }
}
