import { findNet, OUTPUTS, trace } from "../../engine/definition.ts";
import type { Gpu } from "../../engine/gpu.ts";
import { compile, optimize } from "../../engine/graph/compile.ts";
import { callOf, deriveParam, Graph, layerOf } from "../../engine/graph/graph.ts";
import { type AnyKernel, bytesOnce, type Call } from "../../engine/graph/kernel.ts";
import { callKey } from "../../engine/graph/lower.ts";
import type { Limits, Plan } from "../../engine/graph/plan.ts";
import type { Value } from "../../engine/graph/value.ts";
import { type Shape, sameShape } from "../../engine/ground/tensor.ts";
import { asNchw } from "../../kernels/layout/layout.ts";
import { padded, reference } from "../../kernels/layout/to_nhwc.ts";
import { nets } from "../../nets/index.ts";

/** An operator as a net calls it once the graph passes are done. */
export interface Layer {
  /** Its name in the net. */
  readonly name: string;
  readonly kernel: AnyKernel;
  readonly call: Call<string, object>;
  /** Names of the inputs that another layer computes: unlike the net's own input, these may come in any layout. */
  readonly computed: readonly string[];
  readonly flops: number;
  /** Every tensor once. */
  readonly bytes: number;
}

/** A layer that several nets may have, each several times. */
export interface DistinctLayer extends Layer {
  /** What tells it from others: operator, shapes, options. */
  readonly text: string;
  readonly nets: readonly { readonly net: string; readonly layers: readonly string[] }[];
}

const traceNamed = (net: string, batch: number): Graph => trace(findNet(nets, net), { batch });

/** The layers of a net, after the graph passes and before any choice of variants. */
export function layersOf(net: string, batch: number): Layer[] {
  const graph = optimize(traceNamed(net, batch), OUTPUTS);
  return graph.nodes.flatMap((node, id) => {
    if (node.kind !== "op") return [];
    const call = callOf(graph, node);
    const { flops, bytes = bytesOnce(call) } = node.kernel.cost(call);
    const computed = Object.keys(node.inputs).filter(
      (name) => graph.nodes[graph.root(node.inputs[name])].kind === "op",
    );
    return [{ name: layerOf(graph, id), kernel: node.kernel, call, computed, flops, bytes }];
  });
}

/** What a net runs on a device when no variant is asked for. Without `limits` it may be more than the device can bind. */
export function planOf({ traits, variants, tuned }: Gpu, net: string, batch: number, limits: Limits = NONE): Plan {
  return compile(traceNamed(net, batch), OUTPUTS, { traits, variants, tuned, limits });
}

const NONE: Limits = { maxStorageBufferBindingSize: Infinity, maxBufferSize: Infinity };

/** Every layer of some nets once, in the order in which they come. */
export function distinctLayers(names: readonly string[], batch: number): DistinctLayer[] {
  const found = new Map<string, { layer: Layer; nets: Map<string, string[]> }>();
  for (const net of names) {
    for (const layer of layersOf(net, batch)) {
      const key = callKey(layer.kernel.name, layer.call);
      const { nets } = found.get(key) ?? { nets: new Map<string, string[]>() };
      nets.set(net, [...(nets.get(net) ?? []), layer.name]);
      if (!found.has(key)) found.set(key, { layer, nets });
    }
  }
  return [...found.values()].map(({ layer, nets }) => ({
    ...layer,
    text: describeLayer(layer),
    nets: [...nets].map(([net, layers]) => ({ net, layers })),
  }));
}

/** A layer in one line: "conv2d 1x64x56x56, w 64x64x3x3, b, padding 1, relu". Options only where not the default. */
export function describeLayer({ kernel, call }: Pick<Layer, "kernel" | "call">): string {
  const [[, first], ...rest] = Object.entries(call.shapes);
  const inputs = rest.map(([name, shape]) =>
    // The others are of one dimension, or of the output's shape.
    shape.length > 1 && !sameShape(shape, call.y) ? `${name} ${shape.join("x")}` : name,
  );
  const defaults = kernel.options as Readonly<Record<string, unknown>>;
  const options = Object.entries(call.options)
    .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(defaults[name]))
    .map(([name, value]) =>
      value === true
        ? name
        : typeof value === "string"
          ? value
          : `${name} ${Array.isArray(value) ? value.join("x") : value}`,
    );
  return [`${kernel.name} ${first.join("x")}`, ...inputs, ...options].join(", ");
}

/**
 * A graph of one layer, whose output is "y". All its inputs are parameters, which stay on the device from run to run;
 * images that another layer would compute are NHWC in memory, as the fast kernels leave them.
 */
export function graphOfLayer({ kernel, call, computed }: Layer): Graph {
  const graph = new Graph();
  const inputs = Object.entries(call.shapes).map(([name, shape]) => {
    const value = graph.param(name, shape);
    return [name, computed.includes(name) && shape.length === 4 ? keptInNhwc(value) : value] as const;
  });
  graph.name("y", graph.add(kernel, Object.fromEntries(inputs), call.options));
  return graph;
}

function keptInNhwc(image: Value): Value {
  const [batch, channels, height, width] = image.shape;
  const shape: Shape = [batch, height, width, padded(channels)];
  const convert = (x: Float32Array) =>
    Float32Array.from(reference.compute({ x }, { shapes: { x: image.shape }, options: {}, y: shape }));
  return asNchw(deriveParam(image, "in NHWC", shape, convert), channels);
}
