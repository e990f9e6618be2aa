import { callOf, type Graph } from "../../engine/graph/graph.ts";
import { defineKernel } from "../../engine/graph/kernel.ts";

/**
 * Gives calls without an activation beyond relu the pipeline of a call that has one, where they differ in nothing else: what
 * is not asked for is skipped, and every further pipeline takes up to a second to compile.
 */
export function sharePipelines(graph: Graph): void {
  const { nodes } = graph;
  const calls = nodes.flatMap((node, id) => {
    if (node.kind !== "op") return [];
    const consts = node.kernel.consts(callOf(graph, node));
    const key = JSON.stringify([node.kernel.name, { ...consts, BEYOND_RELU: 0 }]);
    return [{ id, node, consts, key }];
  });
  const beyond = new Map(calls.flatMap(({ consts, key }) => (consts.BEYOND_RELU ? [[key, consts] as const] : [])));
  for (const { id, node, consts, key } of calls) {
    const shared = consts.BEYOND_RELU === 0 && beyond.get(key);
    if (shared) nodes[id] = { ...node, kernel: defineKernel({ ...node.kernel, consts: () => shared }) };
  }
}
