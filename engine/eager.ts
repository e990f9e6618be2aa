import type { Device } from "./device/device.ts";
import { Graph } from "./graph/graph.ts";
import { makePlan } from "./graph/plan.ts";
import { Value } from "./graph/value.ts";
import { show, UsageError } from "./ground/errors.ts";
import { isTensor, type Tensor } from "./ground/tensor.ts";
import { runOnce } from "./model.ts";

/** Runs a function of values once, on tensors in their places; what is no tensor goes to the function as it is. */
export async function runEager(
  device: Device,
  op: (...args: unknown[]) => Value,
  args: readonly unknown[],
): Promise<Tensor> {
  if (typeof op !== "function") throw new UsageError(`got ${show(op)} for an operator; wanted a function of values`);
  const graph = new Graph();
  const tensors: Record<string, Tensor> = {};
  const values = args.map((arg, i) => {
    if (!isTensor(arg)) return arg;
    // Parameters rather than inputs, since these are split where they are over the device's binding limit.
    const name = `input ${i}`;
    tensors[name] = arg;
    return i === 0 ? graph.input(name, arg.shape) : graph.param(name, arg.shape);
  });
  const output = op(...values);
  if (!(output instanceof Value))
    throw new UsageError(`the operator gave ${show(output)}; wanted a value of its graph`);
  graph.name("output", output);
  const plan = makePlan(graph, ["output"], device.limits);
  return (await runOnce(device, graph, tensors, ["output"], { plan })).output;
}
