import { IMAGENET, preprocess, type Transforms } from "../engine/image.ts";
import type { NetDefinition, PublishedWeights } from "../engine/net.ts";
import { softmax } from "../kernels/softmax.ts";

/** What the nets for ImageNet-1K have in common: 1,000 classes of colour images, prepared as torchvision does. */
export const imagenet = {
  probabilities: (logits) => softmax(logits, { dim: 1 }),
  preprocess(image, [channels, height, width], transforms = IMAGENET) {
    if (height !== width) return new Float32Array(); // The preset makes squares; see Net.classify.
    // Another image size keeps the proportion between what is resized and what is cut out.
    const resize = Math.round((transforms.resize * height) / transforms.crop);
    return preprocess(image, { ...transforms, resize, crop: height }, channels);
  },
  labels: async () => (await import("./imagenet_classes.ts")).IMAGENET_CLASSES,
} satisfies Partial<NetDefinition>;

export const IMAGENET_OPTIONS = { inChannels: 3, numClasses: 1000 };

/** A checkpoint that torchvision publishes; its file is named after its hash. */
export const torchvision = (file: string, transforms?: Transforms): PublishedWeights => ({
  url: `https://download.pytorch.org/models/${file}.pth`,
  sha256: file.slice(-8),
  transforms,
});
