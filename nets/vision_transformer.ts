import type { NetDefinition, NetOptions, PublishedWeights } from "../engine/definition.ts";
import type { Value } from "../engine/graph/value.ts";
import { ShapeError } from "../engine/ground/errors.ts";
import { NHWC } from "../engine/ground/tensor.ts";
import { add } from "../kernels/elementwise/add.ts";
import { pad } from "../kernels/pad.ts";
import { permute } from "../kernels/permute.ts";
import { reshape } from "../kernels/reshape.ts";
import { IMAGENET_OPTIONS, imagenet, sized, swag, torchvision } from "./imagenet.ts";
import { convLayer, linearLayer, named } from "./layers.ts";
import { attention, layerNormLayer, mlp, projections, splitHeads } from "./transformer.ts";

// A. Dosovitskiy et al.: "An image is worth 16x16 words: transformers for image recognition at scale", 2020, table 1.

const eps = 1e-6;

/** Attention of all tokens to one another. */
function selfAttention(name: string, x: Value, heads: number): Value {
  const [q, k, v] = projections(`${name}.in_proj_weight`, `${name}.in_proj_bias`, x);
  const y = attention(splitHeads(q, heads), splitHeads(k, heads, true), splitHeads(v, heads));
  return named(name, linearLayer(`${name}.out_proj`, y, x.shape[2]));
}

/** Attention and an MLP, each of what is normalized before, and each added to what it is given. */
function encoderBlock(name: string, x: Value, heads: number): Value {
  x = add(selfAttention(`${name}.self_attention`, layerNormLayer(`${name}.ln_1`, x, { eps }), heads), x);
  return named(name, add(x, mlp(`${name}.mlp`, layerNormLayer(`${name}.ln_2`, x, { eps }), 4 * x.shape[2])));
}

type Size = readonly [height: number, width: number];

/** The four of `from` places that are nearest to each of `to` from end to end, and their weights by R. Keys's cubic with a = -3/4. */
const cubics = (from: number, to: number) =>
  Array.from({ length: to }, (_, i) => {
    const place = to > 1 ? (i * (from - 1)) / (to - 1) : 0;
    return [-1, 0, 1, 2].map((step) => {
      const neighbour = Math.floor(place) + step;
      const d = Math.abs(place - neighbour);
      const weight = d < 1 ? (1.25 * d - 2.25) * d * d + 1 : ((3.75 - 0.75 * d) * d - 6) * d + 3;
      return { at: Math.min(Math.max(neighbour, 0), from - 1), weight };
    });
  });

/** An embedding [1 + H * W, channels] of another size, but for its first row: torchvision's interpolate_embeddings. */
function interpolated(embedding: Float32Array, from: Size, to: Size): Float32Array {
  const channels = embedding.length / tokensOf(from);
  const result = new Float32Array(tokensOf(to) * channels);
  result.set(embedding.subarray(0, channels));
  const [rows, columns] = [0, 1].map((d) => cubics(from[d], to[d]));
  let at = channels;
  for (const vertical of rows) {
    for (const horizontal of columns) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (const row of vertical)
          for (const column of horizontal)
            sum += row.weight * column.weight * embedding[(1 + row.at * from[1] + column.at) * channels + c];
        result[at++] = sum;
      }
    }
  }
  return result;
}

const tokensOf = ([height, width]: Size): number => 1 + height * width;

/** What is added to each token: its place, and to the first, which are zeros, the class token as well. */
function places({ graph }: Value, channels: number, from: Size, to: Size): Value {
  const sources = ["encoder.pos_embedding", "class_token"];
  graph.param(sources[0], [1, tokensOf(from), channels]);
  graph.param(sources[1], [1, 1, channels]);
  return graph.param(sources.join(" and "), [1, tokensOf(to), channels], {
    sources,
    compute(embedding, token) {
      const sum = interpolated(embedding, from, to);
      for (const [c, value] of token.entries()) sum[c] += value;
      return sum;
    },
  });
}

export interface VisionTransformerOptions extends NetOptions {
  /**
   * Height and width of the images that the weights are for, in pixels, where those of the net are others: the embedding of
   * places is interpolated as it is loaded.
   */
  readonly weightsSize: number;
}

/** A net by the side of its patches, its layers, their heads and the channels of a token. */
export function vit(
  name: string,
  patch: number,
  layers: number,
  heads: number,
  channels: number,
  weights: Readonly<Record<string, PublishedWeights>>,
): NetDefinition<VisionTransformerOptions> {
  return {
    ...imagenet,
    name,
    options: { ...IMAGENET_OPTIONS, weightsSize: 0 },
    imageSize: [224, 224],

    build(x, { numClasses, weightsSize }) {
      const [batch, , ...size] = x.shape;
      const odd = [...size, weightsSize].find((side) => side % patch !== 0);
      if (odd) throw new ShapeError(`imageSize and weightsSize must be multiples of ${patch}, got ${odd}`);
      const to: Size = [size[0] / patch, size[1] / patch];
      const from: Size = weightsSize > 0 ? [weightsSize / patch, weightsSize / patch] : to;

      x = permute(convLayer("conv_proj", x, channels, patch, { stride: patch }), { dims: NHWC });
      // The class token is a row of zeros in front, so far.
      const tokens = tokensOf(to);
      x = pad(reshape(x, { shape: [batch, 1, tokens - 1, channels] }), { padding: [1, 0, 0, 0] });
      x = reshape(x, { shape: [batch, tokens, channels] });
      x = named("encoder.dropout", add(x, places(x, channels, from, to)));
      for (let i = 0; i < layers; i++) x = encoderBlock(`encoder.layers.encoder_layer_${i}`, x, heads);
      x = named("encoder", layerNormLayer("encoder.ln", named("encoder.layers", x), { eps }));
      // Of all tokens the first is left.
      x = pad(reshape(x, { shape: [batch, 1, tokens, channels] }), { padding: [0, 0, 1 - tokens, 0] });
      x = reshape(x, { shape: [batch, channels] });
      return named("heads", linearLayer("heads.head", x, numClasses));
    },

    weights,

    // As torchvision 0.12 called them, and files of then still do.
    rename: (given) => given.replace(/\.mlp\.linear_([12])\./, (_, i) => `.mlp.${3 * (i - 1)}.`),

    misshapen(tensor, is, wanted) {
      const side = patch * Math.sqrt(is[1] - 1);
      if (tensor !== "encoder.pos_embedding" || is[2] !== channels || !Number.isInteger(side)) return undefined;
      return `its ${is[1]} tokens would have to be interpolated to ${wanted[1]}: pass the option weightsSize: ${side}`;
    },
  };
}

const V1 = (file: string, resize = 256) => ({ IMAGENET1K_V1: torchvision(file, undefined, sized(resize, 224)) });

export const vit_b_16 = vit("vit_b_16", 16, 12, 12, 768, {
  ...swag("vit_b_16", 384, "9ac1b537", "4e70ced5"),
  ...V1("vit_b_16-c867db91"),
});
export const vit_b_32 = vit("vit_b_32", 32, 12, 12, 768, V1("vit_b_32-d86f8d99"));
export const vit_l_16 = vit("vit_l_16", 16, 24, 16, 1024, {
  ...swag("vit_l_16", 512, "4f3808c9", "4d563306"),
  ...V1("vit_l_16-852ce7e3", 242),
});
export const vit_l_32 = vit("vit_l_32", 32, 24, 16, 1024, V1("vit_l_32-c7638314"));
export const vit_h_14 = vit("vit_h_14", 14, 32, 16, 1280, swag("vit_h_14", 518, "80465313", "c1eb923e"));
