import type { NetDefinition } from "../engine/definition.ts";
import { deriveParam } from "../engine/graph/graph.ts";
import type { Value } from "../engine/graph/value.ts";
import { ShapeError } from "../engine/ground/errors.ts";
import { NCHW, NHWC, permuteShape } from "../engine/ground/tensor.ts";
import { add } from "../kernels/elementwise/add.ts";
import { gelu } from "../kernels/elementwise/gelu.ts";
import { silu } from "../kernels/elementwise/silu.ts";
import { tanh } from "../kernels/elementwise/tanh.ts";
import { flatten } from "../kernels/flatten.ts";
import { permute } from "../kernels/permute.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { avgPool2d } from "../kernels/pool2d/avgpool2d.ts";
import { reshape } from "../kernels/reshape.ts";
import { convNormLayer, squeezeExcitation } from "./blocks.ts";
import { IMAGENET_OPTIONS, imagenet, sized, torchvision } from "./imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "./layers.ts";
import { attention, layerNormLayer, mlp, projections, rearrange, splitHeads } from "./transformer.ts";

// Z. Tu et al.: "MaxViT: multi-axis vision transformer", 2022, figure 2 and table 1.

/** The side of windows and of grids. */
const SIDE = 7;

/** Channels of a head. */
const HEAD = 32;

/** Of batch norms. */
const norm = { eps: 1e-3, momentum: 0.01 };

/** An inverted residual with its norm in front. */
function mbConv(name: string, x: Value, channels: number, stride: number): Value {
  let shortcut = x;
  if (stride > 1) {
    shortcut = named(`${name}.proj.0`, avgPool2d(x, { kernel: 3, stride, padding: 1 }));
    shortcut = named(`${name}.proj`, convLayer(`${name}.proj.1`, shortcut, channels, 1));
  }
  const [at, width] = [`${name}.layers`, 4 * channels];
  let y = batchNormLayer(`${at}.pre_norm`, x, norm);
  y = convNormLayer(`${at}.conv_a`, y, width, 1, { activation: gelu, ...norm });
  y = convNormLayer(`${at}.conv_b`, y, width, 3, { stride, groups: width, activation: gelu, ...norm });
  y = squeezeExcitation(`${at}.squeeze_excitation`, y, channels / 4, silu);
  return named(name, add(shortcut, named(at, convLayer(`${at}.conv_c`, y, channels, 1))));
}

/** Attention of the pixels of each part [N, parts, pixels, channels] to one another, biased by their relative position. */
function partAttention(name: string, x: Value): Value {
  const [batch, parts, pixels, channels] = x.shape;
  const heads = channels / HEAD;
  const reach = 2 * SIDE - 1;
  const table = x.graph.param(`${name}.relative_position_bias_table`, [reach ** 2, heads]);
  const bias = deriveParam(table, "by pixels", [heads, pixels, pixels], (values) =>
    new Float32Array(heads * pixels ** 2).map((_, i) => {
      const [head, to, from] = [Math.floor(i / pixels ** 2), Math.floor(i / pixels) % pixels, i % pixels];
      const rows = Math.floor(to / SIDE) - Math.floor(from / SIDE) + SIDE - 1;
      const columns = (to % SIDE) - (from % SIDE) + SIDE - 1;
      return values[(rows * reach + columns) * heads + head];
    }),
  );
  const tokens = reshape(x, { shape: [batch * parts, pixels, channels] });
  const [q, k, v] = projections(`${name}.to_qkv.weight`, `${name}.to_qkv.bias`, tokens);
  const y = attention(
    splitHeads(q, heads),
    splitHeads(k, heads, true),
    splitHeads(v, heads),
    (products) => add(products, bias),
    channels ** -0.5, // Not HEAD's, as torchvision has it.
  );
  return named(name, linearLayer(`${name}.merge`, reshape(y, { shape: x.shape }), channels));
}

/** Attention and an MLP in windows of neighbours, or in grids of pixels that lie as far apart as they can. */
function partitionAttention(name: string, x: Value, isGrid: boolean): Value {
  const [batch, channels, height, width] = x.shape;
  const [rows, columns] = [height / SIDE, width / SIDE];
  if (height % SIDE !== 0 || width % SIDE !== 0)
    throw new ShapeError(`${height} x ${width} pixels cannot be cut into windows of ${SIDE} x ${SIDE}`);
  const cut = [batch, ...(isGrid ? [SIDE, rows, SIDE, columns] : [rows, SIDE, columns, SIDE]), channels];
  const apart = isGrid ? [0, 2, 4, 1, 3, 5] : [0, 1, 3, 2, 4, 5];
  let y = rearrange(permute(x, { dims: NHWC }), cut, apart, [batch, rows * columns, SIDE ** 2, channels]);
  const at = `${name}.attn_layer`;
  y = add(y, named(at, partAttention(`${at}.1`, layerNormLayer(`${at}.0`, y))));
  y = add(y, mlp(`${name}.mlp_layer`, layerNormLayer(`${name}.mlp_layer.0`, y), 4 * channels, [1, 3]));
  const back = apart.map((_, d) => apart.indexOf(d));
  y = rearrange(y, permuteShape(cut, apart), back, [batch, height, width, channels]);
  return named(name, permute(y, { dims: NCHW }));
}

/** A net whose channels double from block to block, by those of the first and the layers of each. */
export const maxvit = (name: string, first: number, depths: readonly number[], file: string): NetDefinition => ({
  ...imagenet,
  name,
  options: IMAGENET_OPTIONS,
  imageSize: [224, 224],

  build(x, { numClasses }) {
    x = convNormLayer("stem.0", x, first, 3, { stride: 2, activation: gelu, ...norm });
    x = named("stem", named("stem.1", convLayer("stem.1.0", x, first, 3, { padding: 1 })));
    for (const [i, depth] of depths.entries()) {
      for (let j = 0; j < depth; j++) {
        const [name, at] = [`blocks.${i}.layers.${j}`, `blocks.${i}.layers.${j}.layers`];
        x = mbConv(`${at}.MBconv`, x, first * 2 ** i, j === 0 ? 2 : 1);
        x = partitionAttention(`${at}.window_attention`, x, false);
        x = partitionAttention(`${at}.grid_attention`, x, true);
        named(name, named(at, x));
      }
      named(`blocks.${i}`, x);
    }
    x = named("classifier.1", flatten(named("classifier.0", adaptiveAvgPool2d(x, { outputSize: 1 }))));
    x = linearLayer("classifier.3", layerNormLayer("classifier.2", x), x.shape[1]);
    x = named("classifier.4", tanh(x));
    return named("classifier", linearLayer("classifier.5", x, numClasses, { bias: false }));
  },

  weights: { IMAGENET1K_V1: torchvision(`${name}-${file}`, undefined, sized(224, 224, "bicubic")) },
  // Buffers, which follow from SIDE.
  rename: (given) => (given.endsWith(".relative_position_index") ? undefined : given),
});

export const maxvit_t = maxvit("maxvit_t", 64, [2, 2, 5, 2], "bc5ab103");
