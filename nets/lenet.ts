import type { NetDefinition } from "../engine/definition.ts";
import { tanh } from "../kernels/elementwise/tanh.ts";
import { flatten } from "../kernels/flatten.ts";
import { avgPool2d } from "../kernels/pool2d/avgpool2d.ts";
import { softmax } from "../kernels/softmax.ts";
import { convLayer, linearLayer, named } from "./layers.ts";

/**
 * LeNet-5 for handwritten digits, 32 x 32 grey, as lectures teach it: tanh, plain average pooling, a linear head.
 * Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: "Gradient-based learning applied to document recognition", 1998.
 */
export const lenet5: NetDefinition = {
  name: "lenet5",
  options: { inChannels: 1, numClasses: 10 },
  imageSize: [32, 32],

  build(x, { numClasses }) {
    x = named("tanh1", tanh(convLayer("conv1", x, 6, 5)));
    x = named("pool1", avgPool2d(x, { kernel: 2 }));
    x = named("tanh2", tanh(convLayer("conv2", x, 16, 5)));
    x = named("pool2", avgPool2d(x, { kernel: 2 }));
    x = named("tanh3", tanh(convLayer("conv3", x, 120, 5)));
    x = named("flatten", flatten(x));
    x = named("tanh4", tanh(linearLayer("linear1", x, 84, { inFeatures: 120 })));
    return linearLayer("linear2", x, numClasses);
  },

  probabilities: (logits) => softmax(logits, { dim: 1 }),
  // Digits of any size and polarity as in MNIST; with transforms of one's own, any grey picture.
  async preprocess(image, [channels], transforms) {
    const { digitInput, preprocess } = await import("../engine/image/image.ts");
    return transforms ? preprocess(image, transforms, channels) : digitInput(image);
  },
  labels: async () => [..."0123456789"],
  weights: {
    MNIST: {
      // When it is wanted, since bundles for plain scripts have no import.meta.url.
      get url() {
        return new URL("../../nets/weights/lenet5.safetensors", import.meta.url);
      },
      sha256: "f843eb3a",
    },
  },
  defaultWeights: "MNIST",
};
