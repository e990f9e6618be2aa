import type { Value } from "../engine/graph/value.ts";
import { gelu } from "../kernels/elementwise/gelu.ts";
import { matmul } from "../kernels/matmul.ts";
import { layerNorm } from "../kernels/norm/layernorm.ts";
import { permute } from "../kernels/permute.ts";
import { reshape } from "../kernels/reshape.ts";
import { softmax } from "../kernels/softmax.ts";
import { linearLayer, named } from "./layers.ts";

// What nets of tokens are built of: x is [..., tokens, channels]. A. Vaswani et al.: "Attention is all you need", 2017.

/** Layer normalization over the last dimension. */
export function layerNormLayer(name: string, x: Value, { eps = 1e-5 } = {}): Value {
  const [weight, bias] = ["weight", "bias"].map((kind) => x.graph.param(`${name}.${kind}`, x.shape.slice(-1)));
  return named(name, layerNorm(x, weight, bias, { eps }));
}

/** Two linear layers with a gelu between, by the numbers that they have in torchvision's sequence. */
export function mlp(name: string, x: Value, hidden: number, [first, second] = [0, 3]): Value {
  const y = named(`${name}.${first + 1}`, gelu(linearLayer(`${name}.${first}`, x, hidden)));
  return named(name, linearLayer(`${name}.${second}`, y, x.shape.at(-1) as number));
}

/** [N, T, heads * D] as [N, heads, T, D], or with its last two dimensions in the other order. */
export function splitHeads(x: Value, heads: number, transposed = false): Value {
  const [batch, tokens, channels] = x.shape;
  const split = reshape(x, { shape: [batch, tokens, heads, channels / heads] });
  return permute(split, { dims: transposed ? [0, 2, 3, 1] : [0, 2, 1, 3] });
}

/**
 * Scaled dot products of queries [N, heads, T, D] and keys [N, heads, D, T], by which values [N, heads, T, D] are weighed:
 * [N, T, heads * D]. `bias` may change the products before their softmax.
 */
export function attention(
  q: Value,
  k: Value,
  v: Value,
  bias: (products: Value) => Value = (products) => products,
  scale = (q.shape.at(-1) as number) ** -0.5,
): Value {
  const [batch, heads, tokens, depth] = q.shape;
  const weights = softmax(bias(matmul(q, k, { scale })), { dim: -1 });
  const y = permute(matmul(weights, v), { dims: [0, 2, 1, 3] });
  return reshape(y, { shape: [batch, tokens, heads * depth] });
}
