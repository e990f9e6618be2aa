import { deriveParam, type Graph } from "../engine/graph/graph.ts";
import type { Value } from "../engine/graph/value.ts";
import { normalize } from "../kernels/norm/normalize.ts";
import { reshape } from "../kernels/reshape.ts";
import { HEAD, type SwinVersion, swin } from "./swin_transformer.ts";
import { layerNormLayer, projections } from "./transformer.ts";

// Z. Liu et al.: "Swin transformer V2: scaling up capacity and resolution", 2022, figure 1: norms behind the layers, cosines in
// place of products, and biases that a small MLP makes of relative positions.

const WINDOW = 8;

/** Relative positions along one side. */
const PLACES = 2 * WINDOW - 1;

/** Hidden features of the MLP. */
const HIDDEN = 512;

/** A relative position on a logarithmic scale. */
function coordinate(place: number): number {
  const distance = 8 * (place / (WINDOW - 1) - 1);
  return (Math.sign(distance) * Math.log2(Math.abs(distance) + 1)) / 3;
}

/** The biases [positions, heads] of all relative positions, computed once. */
function continuousBias(name: string, graph: Graph, heads: number): Value {
  const param = (kind: string, shape: readonly number[]) => {
    graph.param(`${name}.${kind}`, shape);
    return `${name}.${kind}`;
  };
  return graph.param(`${name} of all positions`, [PLACES ** 2, heads], {
    sources: [param("0.weight", [HIDDEN, 2]), param("0.bias", [HIDDEN]), param("2.weight", [heads, HIDDEN])],
    compute: (weight, bias, last) =>
      Float32Array.from({ length: PLACES ** 2 * heads }, (_, index) => {
        const [place, head] = [Math.floor(index / heads), index % heads];
        const [down, right] = [Math.floor(place / PLACES), place % PLACES].map(coordinate);
        let sum = 0;
        for (let i = 0; i < HIDDEN; i++) {
          sum += last[head * HIDDEN + i] * Math.max(0, weight[2 * i] * down + weight[2 * i + 1] * right + bias[i]);
        }
        return 16 / (1 + Math.exp(-sum));
      }),
  });
}

export const V2: SwinVersion = {
  window: WINDOW,
  normed: (norm, x, layer) => layerNormLayer(norm, layer(x)),

  project(name, x) {
    const heads = x.shape[3] / HEAD;
    const logs = x.graph.param(`${name}.logit_scale`, [heads, 1, 1]);
    // By the root of their terms products will be divided.
    const factors = deriveParam(logs, "as factors", [heads, 1], (scales) =>
      scales.map((scale) => Math.min(Math.exp(scale), 100) * Math.sqrt(HEAD)),
    );
    const [queries, keys, values] = projections(`${name}.qkv.weight`, `${name}.qkv.bias`, x, false);
    const byHeads = (y: Value) => reshape(y, { shape: [-1, heads, HEAD] });
    const positions = continuousBias(`${name}.cpb_mlp`, x.graph, heads);
    return [normalize(byHeads(queries), factors), normalize(byHeads(keys)), values, positions];
  },
};

export const swin_v2_t = swin("swin_v2_t", V2, 96, 6, "b137f0e2", 260);
export const swin_v2_s = swin("swin_v2_s", V2, 96, 18, "637d8ceb", 260);
export const swin_v2_b = swin("swin_v2_b", V2, 128, 18, "781e5279", 272);
