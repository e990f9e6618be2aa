import { type AnyNet, OUTPUTS, trace } from "../../../engine/definition.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { optimize } from "../../../engine/graph/compile.ts";
import { callOf, Graph, layerOf, type OpNode } from "../../../engine/graph/graph.ts";
import type { AnyCall, AnyKernel } from "../../../engine/graph/kernel.ts";
import { callKey, lower } from "../../../engine/graph/lower.ts";
import type { PassName } from "../../../engine/graph/passes.ts";
import { sizeOf } from "../../../engine/ground/tensor.ts";
import * as exported from "../../../kernels/index.ts";
import * as sources from "../../../kernels/wgsl.ts";
import { alexnet2012 } from "../../../nets/alexnet.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { resnet18 } from "../../../nets/resnet.ts";

/** A way to lower a net: the variant to take where it applies, the passes to run. */
export interface Way {
  readonly net: AnyNet;
  readonly variant?: string;
  readonly passes?: readonly PassName[];
}

/** A kernel in a net: how to make the net run it, its calls there, and the largest of them. */
export interface Use extends Way {
  readonly calls: readonly AnyCall[];
  readonly call: AnyCall;
  /** What the net asked for in the layer of that call. */
  readonly operator: string;
  readonly layer: string;
}

/** A .wgsl file, the kernels that are compiled from it, and where each is used. */
export interface Source {
  readonly name: string;
  readonly wgsl: string;
  readonly kernels: readonly AnyKernel[];
  readonly use?: Use;
  /** The specialization constants of its calls in nets. */
  readonly consts: readonly ReturnType<AnyKernel["consts"]>[];
}

/** Kernels are looked for in the first of these that runs them; the first is the one that is meant to. */
const NETS: readonly AnyNet[] = [resnet18, alexnet2012, lenet5];

/**
 * All kernels of this device by their source: those that can be called by themselves, and those that nets are lowered
 * to in one way or another.
 */
export function findSources(gpu: Gpu): Source[] {
  const kernels = new Map<AnyKernel, Use | undefined>();
  for (const way of ways(gpu)) {
    const graph = lowerNet(gpu, way);
    for (const [id, node] of graph.nodes.entries()) {
      if (node.kind !== "op") continue;
      const known = kernels.get(node.kernel);
      const call = callOf(graph, node);
      // The first way that runs it is the one.
      if (known && !isSameWay(known, way)) continue;
      const calls = [...(known?.calls ?? []), call];
      const isLargest = !known || work(node, known.call) < work(node, call);
      const operator = node.choice?.operator ?? node.kernel.name;
      const largest = isLargest ? { ...way, call, operator, layer: layerOf(graph, id) } : known;
      kernels.set(node.kernel, { ...largest, calls });
    }
  }
  for (const each of Object.values(exported)) {
    if ("reflection" in each && !kernels.has(each as AnyKernel)) kernels.set(each as AnyKernel, undefined);
  }
  const bySource = new Map<string, { kernel: AnyKernel; use?: Use }[]>();
  for (const [kernel, use] of kernels) {
    bySource.set(kernel.wgsl, [...(bySource.get(kernel.wgsl) ?? []), { kernel, use }]);
  }
  return Object.entries(sources).flatMap(([name, wgsl]) => {
    const users = bySource.get(wgsl) ?? [];
    if (users.length === 0) return [];
    const kernels = distinct(users.map(({ kernel }) => kernel));
    const consts = users.flatMap(({ kernel, use }) => use?.calls.map((call) => kernel.consts(call)) ?? []);
    return [{ name, wgsl, kernels, use: users.find(({ use }) => use)?.use, consts }];
  });
}

/** One of each name: some variants define theirs anew for every call. */
const distinct = (kernels: readonly AnyKernel[]): AnyKernel[] => [
  ...new Map(kernels.map((kernel) => [kernel.name, kernel])).values(),
];

const isSameWay = (a: Way, b: Way): boolean =>
  a.net === b.net && a.variant === b.variant && String(a.passes) === String(b.passes);

const work = ({ kernel }: OpNode, call: AnyCall): number => kernel.cost(call).flops + sizeOf(call.y);

/** As the device runs it; with every other variant; and with no layer fused into another. */
function ways({ variants }: Gpu): Way[] {
  const names = Object.entries(variants).flatMap(([operator, list]) => [operator, ...list.map(({ name }) => name)]);
  return NETS.flatMap((net) => [
    { net },
    ...[...new Set(names)].map((variant) => ({ net, variant })),
    { net, passes: [] as const },
  ]);
}

const LOGITS = OUTPUTS.slice(0, 1);

/** The graph of a net before variants are chosen. */
export const optimized = ({ net, passes }: Way): Graph => optimize(trace(net), LOGITS, passes);

/** The graph of a net, lowered: its variant is preferred wherever it applies. */
export function lowerNet(gpu: Gpu, way: Way): Graph {
  const { variant } = way;
  const graph = optimized(way);
  const tuned =
    variant === undefined
      ? gpu.tuned
      : new Map(
          graph.nodes.flatMap((node) =>
            node.kind === "op" ? [[callKey(node.kernel.name, callOf(graph, node)), variant] as const] : [],
          ),
        );
  return lower(graph, LOGITS, { traits: gpu.traits, variants: gpu.variants, tuned });
}

/** A graph of one call. */
export function graphOfCall(kernel: AnyKernel, { shapes, options }: Pick<AnyCall, "shapes" | "options">): Graph {
  const graph = new Graph();
  const values = Object.entries(shapes).flatMap(([name, shape]) => (shape ? [[name, graph.param(name, shape)]] : []));
  graph.name("y", graph.add(kernel, Object.fromEntries(values), options));
  return graph;
}
