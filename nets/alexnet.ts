import type { NetDefinition, NetOptions } from "../engine/definition.ts";
import { dropout } from "../kernels/dropout.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { type LrnOptions, lrn } from "../kernels/norm/lrn.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { IMAGENET_OPTIONS, imagenet, torchvision } from "./imagenet.ts";
import { convLayer, linearLayer, named } from "./layers.ts";

/** Overlapping windows, after the first, the second and the fifth convolution. */
const POOL = { kernel: 3, stride: 2 };

/**
 * AlexNet as in torchvision: one tower, no local response normalization.
 * A. Krizhevsky: "One weird trick for parallelizing convolutional neural networks", 2014.
 */
export const alexnet: NetDefinition = {
  ...imagenet,
  name: "alexnet",
  options: IMAGENET_OPTIONS,
  imageSize: [224, 224],

  build(x, { numClasses }) {
    x = named("features.1", relu(convLayer("features.0", x, 64, 11, { stride: 4, padding: 2 })));
    x = named("features.2", maxPool2d(x, POOL));
    x = named("features.4", relu(convLayer("features.3", x, 192, 5, { padding: 2 })));
    x = named("features.5", maxPool2d(x, POOL));
    x = named("features.7", relu(convLayer("features.6", x, 384, 3, { padding: 1 })));
    x = named("features.9", relu(convLayer("features.8", x, 256, 3, { padding: 1 })));
    x = named("features.11", relu(convLayer("features.10", x, 256, 3, { padding: 1 })));
    x = named("features", named("features.12", maxPool2d(x, POOL)));
    x = named("avgpool", adaptiveAvgPool2d(x, { outputSize: 6 }));
    x = named("classifier.0", dropout(flatten(x)));
    x = named("classifier.2", relu(linearLayer("classifier.1", x, 4096)));
    x = named("classifier.3", dropout(x));
    x = named("classifier.5", relu(linearLayer("classifier.4", x, 4096)));
    return named("classifier", linearLayer("classifier.6", x, numClasses));
  },

  weights: { IMAGENET1K_V1: torchvision("alexnet-owt-7be5be79") },
};

export interface AlexNet2012Options extends NetOptions {
  /** Options of the local response normalization, over PyTorch's defaults. */
  readonly lrn: Partial<LrnOptions>;
}

/**
 * AlexNet as in the paper and as lectures teach it: 227 x 227 pixels, local response normalization, no groups.
 * A. Krizhevsky, I. Sutskever, G. Hinton: "ImageNet classification with deep convolutional neural networks", 2012.
 */
export const alexnet2012: NetDefinition<AlexNet2012Options> = {
  ...imagenet,
  name: "alexnet2012",
  options: { ...IMAGENET_OPTIONS, lrn: {} },
  imageSize: [227, 227],

  build(x, { numClasses, lrn: options }) {
    x = named("relu1", relu(convLayer("c1", x, 96, 11, { stride: 4 })));
    x = named("pool1", maxPool2d(named("lrn1", lrn(x, options)), POOL));
    x = named("relu2", relu(convLayer("c2", x, 256, 5, { padding: 2 })));
    x = named("pool2", maxPool2d(named("lrn2", lrn(x, options)), POOL));
    x = named("relu3", relu(convLayer("c3", x, 384, 3, { padding: 1 })));
    x = named("relu4", relu(convLayer("c4", x, 384, 3, { padding: 1 })));
    x = named("relu5", relu(convLayer("c5", x, 256, 3, { padding: 1 })));
    x = named("flatten", flatten(named("pool5", maxPool2d(x, POOL))));
    x = named("relu6", relu(linearLayer("fc1", x, 4096, { inFeatures: 256 * 6 * 6 })));
    x = named("relu7", relu(linearLayer("fc2", dropout(x), 4096)));
    return linearLayer("fc3", dropout(x), numClasses);
  },

  weights: {},
};
