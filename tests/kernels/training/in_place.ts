import type { Gpu } from "../../../engine/gpu.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import { makePlan } from "../../../engine/graph/plan.ts";
import type { Value } from "../../../engine/graph/value.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import { withModel } from "../../../engine/model.ts";

type Tensors = Readonly<Record<string, Tensor>>;

/**
 * Runs a kernel that writes its inputs: `kept` stays on the device from step to step, as parameters do, and each of `steps` is
 * what the kernel is fed besides. What `kept` is after each step.
 */
export async function runInPlace(
  gpu: Gpu,
  kept: Tensors,
  steps: readonly Tensors[],
  build: (values: Readonly<Record<string, Value>>) => Value,
): Promise<Tensors[]> {
  const graph = new Graph();
  const params = Object.entries(kept).map(([name, { shape }]) => [name, graph.param(name, shape)] as const);
  const inputs = Object.entries(steps[0]).map(([name, { shape }]) => [name, graph.input(name, shape)] as const);
  graph.name("done", build(Object.fromEntries([...params, ...inputs])));
  for (const [name, value] of params) graph.name(name, value);
  const plan = makePlan(graph, ["done", ...Object.keys(kept)], gpu.limits);
  return withModel(gpu, new Graph(), kept, async (model) => {
    const executable = await model.prepare(plan);
    const states: Tensors[] = [];
    for (const fed of steps) {
      const { done, ...state } = await executable.run(
        Object.fromEntries(Object.entries(fed).map(([name, { data }]) => [name, data])),
      );
      states.push(state);
    }
    return states;
  });
}
