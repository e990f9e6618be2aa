import type { NetDefinition, PublishedWeights } from "../engine/definition.ts";
import { fitTransforms, IMAGENET, type Interpolation, type Transforms } from "../engine/image/transforms.ts";
import { softmax } from "../kernels/softmax.ts";

/** ImageNet's transforms at other sizes. */
export const sized = (resize: number, crop: number, interpolation?: Interpolation): Transforms => ({
  ...IMAGENET,
  resize,
  crop,
  interpolation,
});

/** torchvision's second recipe was trained for images resized to 232 pixels. */
export const V2 = sized(232, 224);

/** What the nets for ImageNet-1K have in common: 1,000 classes of colour images, prepared as torchvision does. */
export const imagenet = {
  probabilities: (logits) => softmax(logits, { dim: 1 }),
  transforms: IMAGENET,
  async preprocess(image, [channels, height, width], transforms = IMAGENET): Promise<Float32Array> {
    if (height !== width) return new Float32Array(); // The preset makes squares; see takePictures().
    const { preprocess } = await import("../engine/image/image.ts");
    return preprocess(image, fitTransforms(transforms, height, channels), channels);
  },
  async preprocessTexture(device, texture, [channels, height, width], dtype, transforms = IMAGENET) {
    if (height !== width) return undefined;
    const [{ prepareTexture }, { preprocess }] = await Promise.all([
      import("../engine/image/texture.ts"),
      import("../kernels/preprocess.ts"),
    ]);
    return prepareTexture(device, preprocess, texture, fitTransforms(transforms, height, channels), channels, dtype);
  },
  labels: async () => (await import("./imagenet_classes.ts")).IMAGENET_CLASSES,
  // biome-ignore lint/suspicious/noExplicitAny: of nets of any options
} satisfies Partial<NetDefinition<any>>;

export const IMAGENET_OPTIONS = { inChannels: 3, numClasses: 1000 };

/**
 * A checkpoint that torchvision publishes; its file is named after its hash. Its server does not let pages read it: they take
 * the same weights from the Hugging Face hub, where timm has them under the name `hub` as safetensors.
 */
export const torchvision = (file: string, hub?: string, transforms?: Transforms): PublishedWeights => ({
  url: `https://download.pytorch.org/models/${file}.pth`,
  sha256: /\w+$/.exec(file)?.[0],
  mirror: hub && `https://huggingface.co/timm/${hub}/resolve/main/model.safetensors`,
  transforms,
});

/**
 * M. Singh et al.: "Revisiting weakly supervised pre-training of visual perception models", 2022: the head alone was trained for
 * ImageNet, or all of the net, on images of `side` pixels.
 */
export const swag = (name: string, side: number, whole: string, head: string) => ({
  IMAGENET1K_SWAG_LINEAR_V1: torchvision(`${name}_lc_swag-${head}`, undefined, sized(224, 224, "bicubic")),
  IMAGENET1K_SWAG_E2E_V1: torchvision(`${name}_swag-${whole}`, undefined, sized(side, side, "bicubic")),
});
