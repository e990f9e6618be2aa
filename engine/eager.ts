import type { Device } from "./device/device.ts";
import { Graph } from "./graph/graph.ts";
import { makePlan } from "./graph/plan.ts";
import type { Value } from "./graph/value.ts";
import { isTensor, type Tensor } from "./ground/tensor.ts";
import { runOnce } from "./model.ts";

/** Runs a function of values once, on tensors in their places; what is no tensor goes to the function as it is. */
export async function runEager(
  device: Device,
  op: (...args: unknown[]) => Value,
  args: readonly unknown[],
): Promise<Tensor> {
  const graph = new Graph();
  const tensors: Record<string, Tensor> = {};
  const values = args.map((arg, i) => {
    if (!isTensor(arg)) return arg;
    // Parameters rather than inputs, since these are split where they are over the device's binding limit.
    const name = `input ${i}`;
    tensors[name] = arg;
    return i === 0 ? graph.input(name, arg.shape) : graph.param(name, arg.shape);
  });
  graph.name("output", op(...values));
  const plan = makePlan(graph, ["output"], device.limits);
  return (await runOnce(device, graph, tensors, ["output"], { plan })).output;
}
