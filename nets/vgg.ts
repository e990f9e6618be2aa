import type { NetDefinition, NetOptions, PublishedWeights } from "../engine/definition.ts";
import { dropout } from "../kernels/dropout.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { type LrnOptions, lrn } from "../kernels/norm/lrn.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision } from "./imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "./layers.ts";

// K. Simonyan, A. Zisserman: "Very deep convolutional networks for large-scale image recognition", 2014, table 1.
// A number is a 3x3 convolution with as many filters and a relu, its negative a 1x1 one; M halves the image by a
// maximum; L is local response normalization.
const CONFIGURATIONS = {
  A: [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
  "A-LRN": [64, "L", "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
  B: [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
  C: [64, 64, "M", 128, 128, "M", 256, 256, -256, "M", 512, 512, -512, "M", 512, 512, -512, "M"],
  D: [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
  E: [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
} as const;

/** timm's names of the last layers, the first two of which are convolutions there. */
const TIMM: Readonly<Record<string, string>> = {
  "pre_logits.fc1": "classifier.0",
  "pre_logits.fc2": "classifier.3",
  "head.fc": "classifier.6",
};

export interface VggOptions extends NetOptions {
  /** Options of the local response normalization, over PyTorch's defaults; only vgg11_lrn has one. */
  readonly lrn: Partial<LrnOptions>;
}

function vgg(
  name: string,
  configuration: keyof typeof CONFIGURATIONS,
  batchNorm: boolean,
  weights: Readonly<Record<string, PublishedWeights>> = {},
): NetDefinition<VggOptions> {
  return {
    ...imagenet,
    name,
    options: { ...IMAGENET_OPTIONS, lrn: {} },
    imageSize: [224, 224],

    build(x, options) {
      let index = 0;
      const next = () => `features.${index++}`;
      for (const layer of CONFIGURATIONS[configuration]) {
        if (layer === "M") x = named(next(), maxPool2d(x, { kernel: 2 }));
        else if (layer === "L") x = named(next(), lrn(x, options.lrn));
        else {
          x = layer > 0 ? convLayer(next(), x, layer, 3, { padding: 1 }) : convLayer(next(), x, -layer, 1);
          if (batchNorm) x = batchNormLayer(next(), x);
          x = named(next(), relu(x));
        }
      }
      x = flatten(named("avgpool", adaptiveAvgPool2d(named("features", x), { outputSize: 7 })));
      x = named("classifier.1", relu(linearLayer("classifier.0", x, 4096)));
      x = named("classifier.2", dropout(x));
      x = named("classifier.4", relu(linearLayer("classifier.3", x, 4096)));
      x = named("classifier.5", dropout(x));
      return named("classifier", linearLayer("classifier.6", x, options.numClasses));
    },

    weights,
    rename: (name) => name.replace(/^(.+)(?=\.)/, (layer) => TIMM[layer] ?? layer),
  };
}

const IMAGENET1K_FEATURES = torchvision("vgg16_features-amdegroot-88682ab5", undefined, {
  resize: 256,
  crop: 224,
  mean: [0.48235, 0.45882, 0.40784],
  std: [1 / 255, 1 / 255, 1 / 255],
});

export const vgg11 = vgg("vgg11", "A", false, { IMAGENET1K_V1: torchvision("vgg11-8a719046", "vgg11.tv_in1k") });
export const vgg11_bn = vgg("vgg11_bn", "A", true, {
  IMAGENET1K_V1: torchvision("vgg11_bn-6002323d", "vgg11_bn.tv_in1k"),
});
export const vgg11_lrn = vgg("vgg11_lrn", "A-LRN", false);
export const vgg13 = vgg("vgg13", "B", false, { IMAGENET1K_V1: torchvision("vgg13-19584684", "vgg13.tv_in1k") });
export const vgg13_bn = vgg("vgg13_bn", "B", true, {
  IMAGENET1K_V1: torchvision("vgg13_bn-abd245e5", "vgg13_bn.tv_in1k"),
});
export const vgg16_c = vgg("vgg16_c", "C", false);
export const vgg16 = vgg("vgg16", "D", false, {
  IMAGENET1K_FEATURES,
  IMAGENET1K_V1: torchvision("vgg16-397923af", "vgg16.tv_in1k"),
});
export const vgg16_bn = vgg("vgg16_bn", "D", true, {
  IMAGENET1K_V1: torchvision("vgg16_bn-6c64b313", "vgg16_bn.tv_in1k"),
});
export const vgg19 = vgg("vgg19", "E", false, { IMAGENET1K_V1: torchvision("vgg19-dcbb9e9d", "vgg19.tv_in1k") });
export const vgg19_bn = vgg("vgg19_bn", "E", true, {
  IMAGENET1K_V1: torchvision("vgg19_bn-c79401a0", "vgg19_bn.tv_in1k"),
});
