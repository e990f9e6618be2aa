import type { Graph } from "../../engine/graph/graph.ts";
import type { TrainingTable } from "../../engine/graph/training.ts";
import type { Variants } from "../../engine/graph/variant.ts";
import { sizeOf } from "../../engine/ground/tensor.ts";
import { add } from "../elementwise/add.ts";
import { gradientsOf, loadDifferentiable } from "../gradients.ts";
import { anyLayout, averaged } from "../layout/layout.ts";
import { crossEntropy } from "../loss/cross_entropy.ts";
import { slice } from "../slice.ts";
import { sum } from "../sum.ts";
import { flat } from "./flat.ts";
import { packOf } from "./pack.ts";
import { squares } from "./squares.ts";

/** What the nets have no layer for. */
const ALWAYS = ["add", "cross_entropy"];

/** Of what parameters that are derived from others are made. */
const DERIVING = ["gather", "pad", "slice"];

/** What joins the parts of a layer whose weight is over the binding limit, and takes their parts of its bias. */
const SPLITTING = ["concat", "slice"];

/**
 * What training needs of operators, by PyTorch's defaults: those of a graph that drops something or not, on a device that binds so
 * many bytes; or all there are.
 */
export async function tableFor(graph?: Graph, maxBinding = 0, drops = true): Promise<TrainingTable> {
  const nodes = graph?.nodes ?? [];
  const derives = !graph || nodes.some((node) => node.kind === "param" && node.from);
  const splits = !graph || nodes.some((node) => node.kind === "param" && 4 * sizeOf(node.shape) > maxBinding);
  const isGrouped = !graph || nodes.some((node) => node.kind === "op" && Object(node.options).groups > 1);
  const added = [...ALWAYS, ...(drops ? ["dropout"] : []), ...(derives ? DERIVING : []), ...(splits ? SPLITTING : [])];
  const all = await loadDifferentiable(graph && [...added, ...namesOf(graph)], graph);
  const parts: readonly { readonly variants?: Variants }[] = [
    ...Object.values(all),
    ...(isGrouped ? [await import("../conv2d/conv2d_depthwise_weight_gradient.ts")] : []),
  ];
  return {
    gradients: gradientsOf(all),
    forms: Object.fromEntries(Object.entries(all).flatMap(([name, { form }]) => (form ? [[name, form]] : []))),
    optimizers: {
      sgd: async (options) => (await import("./sgd_optimizer.ts")).sgdOf(options),
      adam: async (options) => (await import("./adam_optimizer.ts")).adamOf("adam", false, 0, options),
      adamw: async (options) => (await import("./adam_optimizer.ts")).adamOf("adamw", true, 0.01, options),
    },
    loss: (logits, labels, options) => crossEntropy(logits, labels, options),
    norm: (arenas) =>
      arenas.map((each) => sum(squares(each), { dims: [0], keepDim: true })).reduce((a, b) => add(a, b)),
    pack: packOf,
    variants: Object.assign({ add: [anyLayout, flat], sum: [averaged] }, ...parts.map(({ variants }) => variants)),
    slice: (x, start, end) => slice(x.graph.reshape(x, [sizeOf(x.shape)]), { dim: 0, start, end }),
    ...("batchnorm_train" in all && { together: (await import("./together.ts")).together }),
    ...(drops && { dropout: (await import("./dropout.ts")).dropoutTrain }),
    ...(splits && { split: { linear: (await import("../linear/split.ts")).splitLinear } }),
    ...(derives && { derive: (await import("./derived.ts")).deriveByOperators }),
  };
}

function namesOf({ nodes }: Graph): string[] {
  const names = nodes.flatMap((node) => (node.kind === "op" ? [node.kernel.name] : []));
  return names.includes("batchnorm") ? [...names, "batchnorm_train"] : names;
}
