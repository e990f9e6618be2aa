import { deriveParam } from "../engine/graph/graph.ts";
import type { Value } from "../engine/graph/value.ts";
import type { Shape } from "../engine/ground/tensor.ts";
import { gelu } from "../kernels/elementwise/gelu.ts";
import { linear } from "../kernels/linear/linear.ts";
import { matmul } from "../kernels/matmul.ts";
import { layerNorm } from "../kernels/norm/layernorm.ts";
import { permute } from "../kernels/permute.ts";
import { reshape } from "../kernels/reshape.ts";
import { softmax } from "../kernels/softmax.ts";
import { linearLayer, named } from "./layers.ts";

// What nets of tokens are built of: x is [..., tokens, channels]. A. Vaswani et al.: "Attention is all you need", 2017.

/** x under the shape `split`, with these dimensions in the order of `dims`, under the shape `joined`. */
export const rearrange = (x: Value, split: Shape, dims: readonly number[], joined: Shape): Value =>
  reshape(permute(reshape(x, { shape: split }), { dims }), { shape: joined });

/** Layer normalization over the last dimension. */
export function layerNormLayer(name: string, x: Value, { eps = 1e-5 } = {}): Value {
  const [weight, bias] = ["weight", "bias"].map((kind) => x.graph.param(`${name}.${kind}`, x.shape.slice(-1)));
  return named(name, layerNorm(x, weight, bias, { eps }));
}

/** Two linear layers with a gelu between, by the numbers that they have in torchvision's sequence; the rest are dropouts. */
export function mlp(name: string, x: Value, hidden: number, [first, second] = [0, 3]): Value {
  let y = named(`${name}.${first + 1}`, gelu(linearLayer(`${name}.${first}`, x, hidden)));
  for (let i = first + 2; i < second; i++) named(`${name}.${i}`, y);
  y = linearLayer(`${name}.${second}`, y, x.shape.at(-1) as number);
  return named(name, named(`${name}.${second + 1}`, y));
}

/**
 * Queries, keys and values of x [..., channels] by linear layers, whose weights and biases are one tensor's rows each; keys may
 * go without their bias.
 */
export function projections(weight: string, bias: string, x: Value, keyBias = true): Value[] {
  const channels = x.shape.at(-1) as number;
  const w = x.graph.param(weight, [3 * channels, channels]);
  const b = x.graph.param(bias, [3 * channels]);
  return ["queries", "keys", "values"].map((label, i) => {
    const third = (all: Float32Array) => all.subarray((i * all.length) / 3, ((i + 1) * all.length) / 3);
    const own = keyBias || label !== "keys" ? deriveParam(b, label, [channels], third) : undefined;
    return linear(x, deriveParam(w, label, [channels, channels], third), own);
  });
}

/** [N, T, heads * D] as [N, heads, T, D], or with its last two dimensions in the other order. */
export function splitHeads(x: Value, heads: number, transposed = false): Value {
  const [batch, tokens, channels] = x.shape;
  const split = reshape(x, { shape: [batch, tokens, heads, channels / heads] });
  return permute(split, { dims: transposed ? [0, 2, 3, 1] : [0, 2, 1, 3] });
}

/** What changes the products of queries and keys before their softmax. */
type Bias = (products: Value) => Value;

/**
 * Scaled dot products of queries [..., T, D] and keys [..., D, T], by which values [..., T, D] are weighed: [..., T, D]. `bias`
 * may change the products before their softmax.
 */
export function weigh(
  q: Value,
  k: Value,
  v: Value,
  bias: Bias = (products) => products,
  scale = (q.shape.at(-1) as number) ** -0.5,
): Value {
  return matmul(softmax(bias(matmul(q, k, { scale })), { dim: -1 }), v);
}

/** The same of heads [N, heads, T, D], which are joined: [N, T, heads * D]. */
export function attention(q: Value, k: Value, v: Value, bias?: Bias, scale?: number): Value {
  const [batch, heads, tokens, depth] = q.shape;
  return rearrange(weigh(q, k, v, bias, scale), q.shape, [0, 2, 1, 3], [batch, tokens, heads * depth]);
}
