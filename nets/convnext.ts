import type { NetDefinition } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { NCHW, NHWC } from "../engine/ground/tensor.ts";
import { add } from "../kernels/elementwise/add.ts";
import { gelu } from "../kernels/elementwise/gelu.ts";
import { mul } from "../kernels/elementwise/mul.ts";
import { flatten } from "../kernels/flatten.ts";
import { layerNorm } from "../kernels/norm/layernorm.ts";
import { permute } from "../kernels/permute.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { IMAGENET_OPTIONS, imagenet, sized, torchvision } from "./imagenet.ts";
import { convLayer, linearLayer, named } from "./layers.ts";
import { layerNormLayer } from "./transformer.ts";

// Z. Liu et al.: "A ConvNet for the 2020s", 2022, sections 2 and 3.

const eps = 1e-6;

/** Layer normalization of each pixel's channels. */
function imageNorm(name: string, x: Value): Value {
  const [weight, bias] = ["weight", "bias"].map((kind) => x.graph.param(`${name}.${kind}`, [x.shape[1]]));
  const y = layerNorm(permute(x, { dims: NHWC }), weight, bias, { eps });
  return named(name, permute(y, { dims: NCHW }));
}

/** A filter for each channel, then a pixel's channels by way of four times as many, scaled before they are added. */
function block(name: string, x: Value): Value {
  const channels = x.shape[1];
  let y = convLayer(`${name}.block.0`, x, channels, 7, { padding: 3, groups: channels });
  y = named(`${name}.block.1`, permute(y, { dims: NHWC }));
  y = linearLayer(`${name}.block.3`, layerNormLayer(`${name}.block.2`, y, { eps }), 4 * channels);
  y = linearLayer(`${name}.block.5`, named(`${name}.block.4`, gelu(y)), channels);
  y = named(`${name}.block`, named(`${name}.block.6`, permute(y, { dims: NCHW })));
  y = named(`${name}.stochastic_depth`, mul(y, x.graph.param(`${name}.layer_scale`, [channels, 1, 1])));
  return named(name, add(y, x));
}

/** A net of four stages, by their channels and their blocks. */
export function convnext(
  name: string,
  channels: readonly number[],
  depths: readonly number[],
  file: string,
  resize: number,
): NetDefinition {
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [224, 224],

    build(x, { numClasses }) {
      for (const [i, depth] of depths.entries()) {
        const [patches, stage] = [`features.${2 * i}`, `features.${2 * i + 1}`];
        x =
          i === 0
            ? imageNorm(`${patches}.1`, convLayer(`${patches}.0`, x, channels[0], 4, { stride: 4 }))
            : convLayer(`${patches}.1`, imageNorm(`${patches}.0`, x), channels[i], 2, { stride: 2 });
        named(patches, x);
        for (let j = 0; j < depth; j++) x = block(`${stage}.${j}`, x);
        named(stage, x);
      }
      x = named("avgpool", adaptiveAvgPool2d(named("features", x), { outputSize: 1 }));
      x = named("classifier.1", flatten(imageNorm("classifier.0", x)));
      return named("classifier", linearLayer("classifier.2", x, numClasses));
    },

    weights: { IMAGENET1K_V1: torchvision(`${name}-${file}`, undefined, sized(resize, 224)) },
  };
}

export const convnext_tiny = convnext("convnext_tiny", [96, 192, 384, 768], [3, 3, 9, 3], "983f1562", 236);
export const convnext_small = convnext("convnext_small", [96, 192, 384, 768], [3, 3, 27, 3], "0c510722", 230);
export const convnext_base = convnext("convnext_base", [128, 256, 512, 1024], [3, 3, 27, 3], "6075fbad", 232);
export const convnext_large = convnext("convnext_large", [192, 384, 768, 1536], [3, 3, 27, 3], "ea097f82", 232);
