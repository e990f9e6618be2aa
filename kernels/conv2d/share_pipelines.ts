import { callOf, type Graph } from "../../engine/graph/graph.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";
import { conv2dDepthwise } from "./conv2d_depthwise.ts";

/**
 * Gives calls without an activation beyond relu the pipeline of a call that has one, where they differ in nothing else: what
 * is not asked for is skipped, and every further pipeline takes up to a second to compile. In nets with depthwise
 * convolutions, which are those that have several activations; what others are lowered to does not depend on whether this is loaded.
 */
export function sharePipelines(graph: Graph): void {
  const { nodes } = graph;
  if (!nodes.some((node) => node.kind === "op" && node.kernel.name === conv2dDepthwise.name)) return;
  const calls = nodes.flatMap((node, id) => {
    if (node.kind !== "op") return [];
    const consts = node.kernel.consts(callOf(graph, node));
    const key = JSON.stringify([node.kernel.name, { ...consts, BEYOND_RELU: 0 }]);
    return [{ id, node, consts, key }];
  });
  const beyond = new Map(calls.flatMap(({ consts, key }) => (consts.BEYOND_RELU ? [[key, consts.BEYOND_RELU]] : [])));
  for (const { id, node, consts, key } of calls) {
    const shared = consts.BEYOND_RELU === 0 && beyond.get(key);
    if (!shared) continue;
    const { kernel } = node;
    const withShared: typeof kernel.consts = (call) => ({ ...kernel.consts(call), BEYOND_RELU: shared });
    nodes[id] = { ...node, kernel: defineKernel({ ...kernel, consts: withShared }) };
  }
}
