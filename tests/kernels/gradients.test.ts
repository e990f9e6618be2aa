import { readdirSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { referenceOf } from "../../engine/graph/evaluate.ts";
import { differentiate, type Gradients } from "../../engine/graph/gradients.ts";
import { callOf, Graph, type OpNode } from "../../engine/graph/graph.ts";
import type { AnyKernel, Example } from "../../engine/graph/kernel.ts";
import type { Value } from "../../engine/graph/value.ts";
import { UsageError } from "../../engine/ground/errors.ts";
import { type Shape, sizeOf } from "../../engine/ground/tensor.ts";
import { expand } from "../../kernels/expand.ts";
import { loadGradients } from "../../kernels/gradients.ts";
import { batchNormTrain } from "../../kernels/norm/batchnorm_train.ts";
import { references } from "../../kernels/references.ts";
import { int, random, refuses } from "../harness.ts";

const gradients = await loadGradients();

// Every row of the table against differences of the operator itself, all of it by references in float64.

/** Calls besides the example of the operator's reference, by the names of inputs. */
const calls: Readonly<Record<string, readonly Example[]>> = {
  adaptive_avgpool2d: [{ shapes: { x: [2, 3, 7, 5] }, options: { outputSize: [3, 4] } }],
  add: [
    { shapes: { a: [2, 3, 5], b: [2, 3, 5] }, options: { alpha: -1 } },
    { shapes: { a: [3, 1, 5], b: [2, 3, 4, 5] }, options: { alpha: 0.5 } },
    { shapes: { a: [], b: [4] }, options: { alpha: 2 } },
    { shapes: { a: [2, 1, 3], b: [1, 4, 1] } },
  ],
  avgpool2d: [
    { shapes: { x: [2, 3, 7, 6] }, options: { kernel: 3, stride: 2, padding: 1, ceilMode: true } },
    { shapes: { x: [1, 2, 7, 6] }, options: { kernel: [2, 3], padding: [1, 0], countIncludePad: false } },
    { shapes: { x: [1, 2, 7, 6] }, options: { kernel: 3, stride: 2, divisorOverride: 5 } },
  ],
  batchnorm: [{ shapes: { x: [2, 3, 4], mean: [3], variance: [3] } }],
  batchnorm_train: [{ shapes: { x: [3, 2, 4] }, options: { eps: 0.5 } }],
  channel_shuffle: [{ shapes: { x: [2, 12, 5] }, options: { groups: 4 } }],
  clamp: [
    { shapes: { x: [200] }, options: { low: -1, high: 1 } },
    { shapes: { x: [200] }, options: { low: 0, high: 6 } },
    { shapes: { x: [200] }, options: { high: 0.5 } },
  ],
  concat: [
    { shapes: { x0: [2, 3], x1: [2, 1] }, options: { dim: -1 } },
    { shapes: { x0: [1, 3, 4], x1: [5, 3, 4], x2: [2, 3, 4] }, options: { dim: 0 } },
  ],
  conv2d: [
    { shapes: { x: [2, 4, 7, 6], w: [6, 2, 3, 2], b: [6] }, options: { groups: 2, stride: [2, 1], padding: 1 } },
    { shapes: { x: [1, 3, 9, 8], w: [3, 1, 3, 3] }, options: { groups: 3, dilation: [2, 1], padding: [0, 1, 2, 3] } },
  ],
  cross_entropy: [{ shapes: { logits: [5, 7], labels: [5], weight: [7] }, options: { labelSmoothing: 0.1 } }],
  gather: [
    { shapes: { x: [3, 5, 2], indices: [4] }, options: { dim: 1 } },
    { shapes: { x: [3, 5], indices: [] }, options: { dim: -1 } },
  ],
  layernorm: [{ shapes: { x: [4, 3, 5] }, options: { normalizedShape: [3, 5] } }],
  leaky_relu: [{ shapes: { x: [50] }, options: { negativeSlope: -0.5 } }],
  linear: [{ shapes: { x: [3, 5], w: [4, 5] } }],
  lrn: [{ shapes: { x: [2, 6, 3, 2] }, options: { size: 4, alpha: 0.5, beta: 0.75, k: 2 } }],
  matmul: [
    { shapes: { a: [3, 1, 4, 5], b: [2, 5, 6] }, options: { scale: 0.5 } },
    { shapes: { a: [4, 5], b: [5, 6] } },
  ],
  maxpool2d: [
    { shapes: { x: [2, 3, 7, 6] }, options: { kernel: 3, stride: 2, padding: 1, ceilMode: true } },
    { shapes: { x: [1, 2, 9, 8] }, options: { kernel: 3, stride: 1, dilation: 2 } },
  ],
  mean: [
    { shapes: { x: [3, 4, 5] }, options: { dims: [0], keepDim: true } },
    { shapes: { x: [2, 3, 4, 5, 2] }, options: { dims: [-1, -2] } },
  ],
  mul: [{ shapes: { a: [], b: [2, 3] } }, { shapes: { a: [3, 1], b: [1, 4] } }, { shapes: { a: [2, 3], b: [2, 3] } }],
  pad: [
    { shapes: { x: [2, 3, 6, 5] }, options: { padding: [-1, 2, 0, -3], value: 2 } },
    { shapes: { x: [2, 1, 3, 2] }, options: { padding: 1 } },
  ],
  permute: [
    { shapes: { x: [2, 3, 4] }, options: { dims: [1, 2, 0] } },
    { shapes: { x: [2, 3, 4, 5] }, options: { dims: [0, -1, 1, -2] } },
  ],
  roll: [
    { shapes: { x: [3, 5] }, options: { shifts: 2, dims: -1 } },
    { shapes: { x: [3, 5] }, options: { shifts: [4, 1], dims: [0, 0] } },
  ],
  slice: [
    { shapes: { x: [2, 9, 3] }, options: { start: -8, end: 8, step: 3 } },
    { shapes: { x: [7, 2] }, options: { dim: 0, start: 2, end: 3 } },
    { shapes: { x: [2, 3, 7] }, options: { dim: -1, start: 1, step: 4 } },
  ],
  softmax: [
    { shapes: { x: [3, 4, 5] }, options: { dim: 1 } },
    { shapes: { x: [3, 7] }, options: { dim: -1, log: true } },
  ],
  sum: [
    { shapes: { x: [3, 4, 5] }, options: { dims: [1], keepDim: true } },
    { shapes: { x: [2, 3, 4, 5, 2] }, options: { dims: [0, 1, -1] } },
  ],
};

/** All kernels by their names, also those that the package does not export. */
async function findKernels(): Promise<Map<string, AnyKernel>> {
  const folder = new URL("../../kernels/", import.meta.url);
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js"));
  const modules = await Promise.all(files.map((file) => import(new URL(file.replaceAll("\\", "/"), folder).href)));
  const exported: unknown[] = modules.flatMap((module) => Object.values(module));
  const kernels = exported.filter((value): value is AnyKernel => typeof value === "function" && "reflection" in value);
  return new Map(kernels.map((kernel) => [kernel.name, kernel]));
}

/**
 * Random values, no two of them alike, and how far they are at least from each other and from integers: where maxima change
 * their places, and operators have corners. Some 32 from the least to the largest, if there are many.
 */
function draw(length: number): { data: Float64Array; gap: number } {
  const gap = 2 ** Math.min(-1, 4 - Math.ceil(Math.log2(length)));
  const order = Float64Array.from({ length }, random);
  const ranks = [...order.keys()].sort((i, j) => order[i] - order[j]);
  // Not in the middle, so that sums of all do not vanish.
  const below = Math.floor(length * (0.3 + random() / 10));
  const data = new Float64Array(length);
  for (const [rank, i] of ranks.entries()) data[i] = (2 * (rank - below) + 1) * gap;
  return { data, gap };
}

/** Values of an input: places are whole, and variances positive. */
function drawInput(
  name: string,
  shape: Shape,
  all: Readonly<Record<string, Shape>>,
): { data: Float64Array; gap: number } {
  const { data, gap } = draw(sizeOf(shape));
  const places = Math.min(...Object.values(all)[0]);
  if (/indices|labels|key/.test(name)) return { data: data.map(() => int(0, places - 1)), gap };
  return { data: /var/.test(name) ? data.map((v) => Math.abs(v) + 0.25) : data, gap };
}

type Values = Readonly<Record<string, Float64Array>>;

/** The values of a graph up to one of them, by the references of its kernels, in float64 from node to node. */
function evaluate(graph: Graph, inputs: Values, last = graph.nodes.length - 1): Float64Array[] {
  const values: Float64Array[] = [];
  for (const node of graph.nodes.slice(0, last + 1)) {
    if (node.kind === "op") {
      const read = Object.fromEntries(Object.entries(node.inputs).map(([name, id]) => [name, values[id]]));
      // Their types say float32, but they compute with what they are given.
      values.push(referenceOf(node.kernel, references).compute(read as never, callOf(graph, node)));
    } else values.push(node.kind === "view" ? values[node.x] : inputs[node.name]);
  }
  return values;
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((total, v, i) => total + v * b[i], 0);
const magnitude = (a: Float64Array, b: Float64Array): number =>
  a.reduce((total, v, i) => total + Math.abs(v * b[i]), 0);

/** Operators that take what is made of their other inputs, by which their gradient is then, too. */
const composed: Readonly<Record<string, (inputs: Readonly<Record<string, Value>>, options: object) => Value>> = {
  batchnorm_train: ({ x, weight, bias }, options) => batchNormTrain(x, weight, bias, options).y,
};

/** An operator on graph inputs, and the gradients by those that have one. */
function differentiated(kernel: AnyKernel, { shapes, options = {} }: Example, table: Gradients) {
  const graph = new Graph();
  const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, graph.input(name, shape)]));
  const y = composed[kernel.name]?.(inputs, options) ?? graph.add(kernel, inputs, options);
  const dy = graph.input("dy", y.shape);
  const call = { inputs, options: (graph.nodes[y.id] as OpNode).options, y, dy };
  const names = Object.keys(table.of[kernel.name](call)).filter((name) => inputs[name]);
  const wanted = names.map((name) => inputs[name]);
  return { graph, y, names, results: differentiate([[y, dy]], wanted, table) as Value[] };
}

/** Where the gradients of a call are not, along some direction, what central differences say, to a millionth. */
function misfits(kernel: AnyKernel, example: Example, table: Gradients): string[] {
  const found: string[] = [];
  const { graph, y, names, results } = differentiated(kernel, example, table);
  const drawn = Object.entries(example.shapes).map(([name, shape]) => [name, drawInput(name, shape, example.shapes)]);
  const given: Record<string, ReturnType<typeof draw>> = Object.fromEntries(drawn);
  const inputs: Values = Object.fromEntries(Object.entries(given).map(([name, { data }]) => [name, data]));
  // Of one sign, for the same reason.
  const dy = Float64Array.from({ length: sizeOf(y.shape) }, () => 0.5 + random());
  const values = evaluate(graph, { ...inputs, dy });
  for (const [i, name] of names.entries()) {
    const gradient = values[results[i].id];
    const h = Math.min(given[name].gap / 8, 2 ** -12);
    // Whatever a gradient leaves out shows in the first direction, and no part of it is cancelled in the second.
    const anywhere = gradient.map(() => 2 * random() - 1);
    const upwards = gradient.map((v) => Math.sign(v) * (0.5 + random() / 2));
    for (const direction of [anywhere, upwards]) {
      const loss = (steps: number) => {
        const x = inputs[name].map((v, j) => v + steps * h * direction[j]);
        return dot(dy, evaluate(graph, { ...inputs, [name]: x }, y.id)[y.id]);
      };
      const want = (8 * (loss(1) - loss(-1)) - (loss(2) - loss(-2))) / (12 * h);
      const bound = 1e-6 * magnitude(gradient, direction) + 1e-10 * magnitude(dy, values[y.id]);
      const got = dot(gradient, direction);
      const isClose = Math.abs(got - want) <= bound;
      if (!isClose) found.push(`${JSON.stringify(example)}: along d${name} ${got}, by differences ${want} +- ${bound}`);
    }
  }
  return found;
}

/** The same table with the gradient by one input a hundredth too large. */
const mistaken = (operator: string, input: string): Gradients => ({
  ...gradients,
  of: {
    ...gradients.of,
    [operator](call) {
      const right = gradients.of[operator](call);
      const wrong = () => {
        const gradient = (right[input] as () => Value)();
        return expand(gradient, { shape: gradient.shape, scale: 1.01 });
      };
      return { ...right, [input]: wrong };
    },
  },
});

const kernels = await findKernels();

for (const operator of Object.keys(gradients.of)) {
  const kernel = kernels.get(operator) as AnyKernel;
  const { example } = referenceOf(kernel, references);
  const { activation } = kernel.fuses ?? {};
  const withActivation = (name: string) => ({
    ...example,
    options: { ...example.options, ...(activation && { [activation]: name }) },
  });
  const all = [withActivation("none"), ...(calls[operator] ?? [])];

  test(`${operator}: gradients are what differences say, and nothing a hundredth off is`, () => {
    for (const call of all) {
      assert.equal(misfits(kernel, call, gradients), []);
      const { names } = differentiated(kernel, call, gradients);
      assert.ok(names.length > 0, "no input has a gradient");
      for (const name of names) assert.ok(misfits(kernel, call, mistaken(operator, name)).length > 0, `d${name}`);
    }
  });

  if (activation) {
    test(`${operator}: an activation that is fused is refused`, () => {
      const message = /has no gradient with its activation fused: apply it as an operator of its own/;
      return refuses(() => differentiated(kernel, withActivation("relu"), gradients), UsageError, "USAGE", message);
    });
  }
}

test.run();
