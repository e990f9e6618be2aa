import type { NetDefinition, PublishedWeights } from "../engine/definition.ts";
import { IMAGENET, type Transforms } from "../engine/image/transforms.ts";
import { softmax } from "../kernels/softmax.ts";

/** What the nets for ImageNet-1K have in common: 1,000 classes of colour images, prepared as torchvision does. */
export const imagenet = {
  probabilities: (logits) => softmax(logits, { dim: 1 }),
  async preprocess(image, [channels, height, width], transforms) {
    if (height !== width) return new Float32Array(); // The preset makes squares; see takePictures().
    const { preprocess } = await import("../engine/image/image.ts");
    return preprocess(image, preset(height, transforms), channels);
  },
  async preprocessTexture(device, texture, [channels, height, width], dtype, transforms) {
    if (height !== width) return undefined;
    const [{ prepareTexture }, { preprocess }] = await Promise.all([
      import("../engine/image/texture.ts"),
      import("../kernels/preprocess.ts"),
    ]);
    return prepareTexture(device, preprocess, texture, preset(height, transforms), channels, dtype);
  },
  labels: async () => (await import("./imagenet_classes.ts")).IMAGENET_CLASSES,
} satisfies Partial<NetDefinition>;

/** Another image size keeps the proportion between what is resized and what is cut out. */
function preset(size: number, transforms: Transforms = IMAGENET): Transforms {
  return { ...transforms, resize: Math.round((transforms.resize * size) / transforms.crop), crop: size };
}

export const IMAGENET_OPTIONS = { inChannels: 3, numClasses: 1000 };

/** A checkpoint that torchvision publishes; its file is named after its hash. */
export const torchvision = (file: string, transforms?: Transforms): PublishedWeights => ({
  url: `https://download.pytorch.org/models/${file}.pth`,
  sha256: file.slice(-8),
  transforms,
});
