import type { NetDefinition } from "../engine/definition.ts";
import { deriveParam } from "../engine/graph/graph.ts";
import type { Value } from "../engine/graph/value.ts";
import { add } from "../kernels/elementwise/add.ts";
import { flatten } from "../kernels/flatten.ts";
import { pad } from "../kernels/pad.ts";
import { permute } from "../kernels/permute.ts";
import { adaptiveAvgPool2d } from "../kernels/pool2d/adaptive_avgpool2d.ts";
import { reshape } from "../kernels/reshape.ts";
import { roll } from "../kernels/roll.ts";
import { IMAGENET_OPTIONS, imagenet, sized, torchvision } from "./imagenet.ts";
import { convLayer, linearLayer, named } from "./layers.ts";
import { layerNormLayer, mlp, projections, rearrange, weigh } from "./transformer.ts";

// Z. Liu et al.: "Swin transformer: hierarchical vision transformer using shifted windows", 2021, figure 3. Images are
// [N, H, W, C] between the first layer and the last.

/** Channels of a head. */
export const HEAD = 32;

/** What swin_transformer_v2.ts does in another way. */
export interface SwinVersion {
  /** The side of windows, in pixels. */
  readonly window: number;
  /** A layer with its norm in front of it, or behind. */
  normed(norm: string, x: Value, layer: (x: Value) => Value): Value;
  /** Queries, keys and values of x [N, H, W, C], and the biases of relative positions [(2 window - 1)^2, heads]. */
  project(name: string, x: Value): readonly Value[];
}

export const V1: SwinVersion = {
  window: 7,
  normed: (norm, x, layer) => layer(layerNormLayer(norm, x)),
  project: (name, x) => [
    ...projections(`${name}.qkv.weight`, `${name}.qkv.bias`, x),
    x.graph.param(`${name}.relative_position_bias_table`, [13 ** 2, x.shape[3] / HEAD]),
  ],
};

/** An image with zeros below and to the right of it, or without what is there. */
function resized(x: Value, height: number, width: number): Value {
  const [batch, rows, columns, channels] = x.shape;
  const padding = [0, 0, height - rows, (width - columns) * channels] as const;
  if (!padding.some(Boolean)) return x;
  const flat = reshape(x, { shape: [batch, 1, rows, columns * channels] });
  return reshape(pad(flat, { padding }), { shape: [batch, height, width, channels] });
}

/**
 * What is added to the products [windows, heads, T, T] of a window's T pixels: a bias by their relative position, and -100
 * where only a shift has brought them together.
 */
function windowBias(
  positions: Value,
  window: number,
  [rows, columns]: readonly number[],
  shifts: readonly number[],
): Value {
  const heads = positions.shape[1];
  const pixels = window ** 2;
  const windows = shifts.some(Boolean) ? rows * columns : 1;
  const label = `in ${windows} windows, ${columns} side by side, shifted by ${shifts}`;
  return deriveParam(positions, label, [windows, heads, pixels, pixels], (values) => {
    const places = Array.from({ length: pixels }, (_, pixel) => [Math.floor(pixel / window), pixel % window]);
    const bias: number[] = [];
    for (let w = 0; w < windows; w++) {
      // The last windows have what was at one end of the image beside what was at the other.
      const isLast = [w >= windows - columns, (w + 1) % columns === 0];
      const seams = isLast.map((is, d) => (is ? window - shifts[d] : window));
      for (let head = 0; head < heads; head++) {
        for (const to of places) {
          for (const from of places) {
            const place = to.reduce((sum, at, d) => sum * (2 * window - 1) + at - from[d] + window - 1, 0);
            const apart = to.some((at, d) => at < seams[d] !== from[d] < seams[d]);
            bias.push(values[place * heads + head] - (apart ? 100 : 0));
          }
        }
      }
    }
    return Float32Array.from(bias);
  });
}

/** Attention of the pixels of each window to each other. Shifted windows lie over the corners of the others. */
function attentionLayer(name: string, x: Value, { window, project }: SwinVersion, shifted: boolean): Value {
  const [batch, height, width, channels] = x.shape;
  const windows = [height, width].map((size) => Math.ceil(size / window));
  const [rows, columns] = windows;
  const shifts = windows.map((count) => (shifted && count > 1 ? Math.floor(window / 2) : 0));
  const shift = (y: Value, by: readonly number[]) => (by.some(Boolean) ? roll(y, { shifts: by, dims: [1, 2] }) : y);
  const whole = resized(x, rows * window, columns * window);
  const back = shifts.map((by) => -by);
  const [queries, keys, values, positions] = project(name, shift(whole, back));
  const bias = windowBias(positions, window, windows, shifts);

  const heads = channels / HEAD;
  const pixels = [batch * rows, window, columns, window, heads, HEAD];
  const matrices = [batch, rows * columns, heads];
  // Keys first: so the products find a buffer that is large enough.
  const transposed = rearrange(keys, pixels, [0, 2, 4, 5, 1, 3], [...matrices, HEAD, -1]);
  const weighed = weigh(
    rearrange(queries, pixels, [0, 2, 4, 1, 3, 5], [...matrices, -1, HEAD]),
    transposed,
    rearrange(values, pixels, [0, 2, 4, 1, 3, 5], [...matrices, -1, HEAD]),
    (products) => add(products, bias),
  );
  const image = rearrange(
    weighed,
    [batch * rows, columns, heads, window, window, HEAD],
    [0, 3, 1, 4, 2, 5],
    whole.shape,
  );
  return named(name, linearLayer(`${name}.proj`, resized(shift(image, shifts), height, width), channels));
}

/** Attention and an MLP, each added to what it is given. */
function block(name: string, x: Value, version: SwinVersion, shifted: boolean): Value {
  const attend = (y: Value) => attentionLayer(`${name}.attn`, y, version, shifted);
  const feed = (y: Value) => mlp(`${name}.mlp`, y, 4 * y.shape[3]);
  const y = add(version.normed(`${name}.norm1`, x, attend), x);
  return named(name, add(version.normed(`${name}.norm2`, y, feed), y));
}

/** Half the sides and twice the channels, of four pixels each. */
function merge(name: string, x: Value, { normed }: SwinVersion): Value {
  const [batch, rows, columns, channels] = x.shape;
  const [height, width] = [rows, columns].map((size) => Math.ceil(size / 2));
  const four = rearrange(
    resized(x, 2 * height, 2 * width),
    [batch * height, 2, width, 2, channels],
    [0, 2, 3, 1, 4],
    [batch, height, width, 4 * channels],
  );
  const reduce = (y: Value) => linearLayer(`${name}.reduction`, y, 2 * channels, { bias: false });
  return named(name, normed(`${name}.norm`, four, reduce));
}

/** A net by the channels of the first stage, the blocks of the third, and the side that its images are resized to. */
export function swin(
  name: string,
  version: SwinVersion,
  channels: number,
  blocks: number,
  file: string,
  resize: number,
): NetDefinition {
  const side = 32 * version.window;
  return {
    ...imagenet,
    name,
    options: IMAGENET_OPTIONS,
    imageSize: [side, side],

    build(x, { numClasses }) {
      x = convLayer("features.0.0", x, channels, 4, { stride: 4 });
      x = named(
        "features.0",
        layerNormLayer("features.0.2", named("features.0.1", permute(x, { dims: [0, 2, 3, 1] }))),
      );
      for (const [i, depth] of [2, 2, blocks, 2].entries()) {
        if (i > 0) x = merge(`features.${2 * i}`, x, version);
        const stage = `features.${2 * i + 1}`;
        for (let j = 0; j < depth; j++) x = block(`${stage}.${j}`, x, version, j % 2 > 0);
        named(stage, x);
      }
      x = named("permute", permute(layerNormLayer("norm", named("features", x)), { dims: [0, 3, 1, 2] }));
      x = named("flatten", flatten(named("avgpool", adaptiveAvgPool2d(x, { outputSize: 1 }))));
      return linearLayer("head", x, numClasses);
    },

    weights: { IMAGENET1K_V1: torchvision(`${name}-${file}`, undefined, sized(resize, side, "bicubic")) },
    // What follows from the size of windows.
    rename: (given) => (/\.relative_(position_index|coords_table)$/.test(given) ? undefined : given),
  };
}

export const swin_t = swin("swin_t", V1, 96, 6, "704ceda3", 232);
export const swin_s = swin("swin_s", V1, 96, 18, "5e29d889", 246);
export const swin_b = swin("swin_b", V1, 128, 18, "68c6b09e", 238);
