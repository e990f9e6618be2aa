import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../../engine/graph/graph.ts";
import type { Call } from "../../../engine/graph/kernel.ts";
import { passes } from "../../../engine/graph/passes.ts";
import {
  DEFAULT_LIMITS,
  type Limits,
  makePlan,
  type Place,
  type Plan,
  type Range,
  type Step,
} from "../../../engine/graph/plan.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { GpuError, UsageError } from "../../../engine/ground/errors.ts";
import { sizeOf } from "../../../engine/ground/tensor.ts";
import { concat } from "../../../kernels/concat.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { relu } from "../../../kernels/elementwise/relu.ts";
import { tanh } from "../../../kernels/elementwise/tanh.ts";
import { flatten } from "../../../kernels/flatten.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { matmul } from "../../../kernels/matmul.ts";
import { batchNormLayer, convLayer, linearLayer } from "../../../nets/layers.ts";
import { assertOutputs, int, open, pick, randomNet, randomTensors, refuses, runPlan } from "../../harness.ts";

const gpu = await open();

const limitsOf = (bytes: number): Limits => ({ maxStorageBufferBindingSize: bytes, maxBufferSize: bytes });

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

const fuse = (graph: Graph, outputs: readonly string[]): Graph =>
  Object.values(passes).reduce((rewritten, pass) => pass(rewritten, outputs), graph);

/** Bytes of a plan's largest activation. */
const largestOf = ({ steps, inputs }: Plan): number =>
  Math.max(
    ...inputs.map(({ place }) => place.size),
    ...steps.flatMap((step) => rangesOf(step, "storage")).map(({ size }) => size),
  );

/** A graph of y = build(x) for x [batch, 4, 3, 3], which has 144 bytes for each of the batch. */
function netOf(build: (x: Value) => Value, batch = 1): { graph: Graph; outputs: string[] } {
  const graph = new Graph();
  graph.name("y", build(graph.input("x", [batch, 4, 3, 3])));
  return { graph, outputs: ["y"] };
}

/** The ranges of activations that a step reads, or writes. */
const rangesOf = (step: Step, type: GPUBufferBindingType): Range[] =>
  step.bindings.flatMap(({ type: its, place }) => (its === type && place && "buffer" in place ? [place] : []));

const isApart = (a: Range, b: Range): boolean =>
  a.buffer !== b.buffer || a.offset >= b.offset + b.size || b.offset >= a.offset + a.size;

/** Follows which value is where, and asserts that every step finds its inputs, and the reader the outputs. */
function followValues(graph: Graph, plan: Plan, outputs: readonly string[], limits = DEFAULT_LIMITS): void {
  let content: { readonly range: Range; readonly id: number }[] = [];
  const write = (range: Range, id: number) => {
    const { buffer, offset, size } = range;
    const bytes = 4 * sizeOf(graph.nodes[id].shape);
    assert.ok(size >= bytes && size < bytes + 16, `node ${id} has ${bytes} bytes, its range ${size}`);
    assert.ok(offset % 256 === 0 && offset + size <= plan.buffers[buffer], `the range of node ${id} is no part`);
    content = [...content.filter((other) => isApart(other.range, range)), { range, id }];
  };
  const read = (range: Place) => content.find((each) => JSON.stringify(each.range) === JSON.stringify(range))?.id;
  const root = (id: number): number => {
    const node = graph.nodes[id];
    return node.kind === "view" ? root(node.x) : id;
  };
  const activation = (id: number) => graph.nodes[root(id)].kind !== "param";
  for (const bytes of plan.buffers) assert.ok(bytes <= limits.maxBufferSize, `a buffer has ${bytes}`);
  graph.nodes.forEach((node, id) => {
    if (node.kind === "input") write(plan.inputs.find(({ name }) => name === node.name)?.place as Range, id);
  });
  const steps = plan.steps.values();
  graph.nodes.forEach((node, id) => {
    if (node.kind !== "op") return;
    const shapes = Object.fromEntries(Object.entries(node.inputs).map(([name, i]) => [name, graph.nodes[i].shape]));
    const call: Call<string, object> = { shapes, options: node.options, y: node.shape };
    const found = new Set<number | undefined>();
    let written: Range | undefined;
    for (let part = node.kernel.parts?.(call).length ?? 1; part > 0; part--) {
      const step = steps.next().value as Step;
      assert.is(step.kernel, node.kernel.name);
      const at = node.kernel.reflection.bindings.findIndex(({ name }) => name === "y");
      const y = step.bindings[at].place as Range;
      assert.equal(written ?? y, y, `the parts of ${step.label} write different ranges`);
      written = y;
      const reads = step.bindings.toSpliced(at, 1);
      for (const { type, place } of reads) {
        if (!place || "param" in place) continue;
        // What a dispatch writes to may be read at other ranges, each once, if it is bound as what is written to.
        assert.is(type, place.buffer === y.buffer ? "storage" : "read-only-storage", step.label);
        const twice = reads.filter((other) => JSON.stringify(other.place) === JSON.stringify(place)).length > 1;
        assert.ok(isApart(place, y) && !(twice && type === "storage"), `${step.label} reads what it writes`);
        found.add(read(place));
      }
    }
    const wanted = new Set(Object.values(node.inputs).filter(activation).map(root));
    assert.equal([...found].sort(), [...wanted].sort(), `the inputs of node ${id}`);
    write(written as Range, id);
  });
  assert.ok(steps.next().done);
  plan.outputs.forEach(({ name, place }, i) => {
    assert.is(read(place), root(graph.names.get(outputs[i]) as number), `output ${name}`);
  });
}

test("buffers are shared, but never while their value is still read", () => {
  const ratios: number[] = [];
  for (let i = 0; i < 200; i++) {
    const { graph, outputs } = randomNet(int(5, 25));
    const whole = makePlan(graph, outputs);
    // So that buffers are as small as can be, and no weight is split.
    const largest = Math.max(largestOf(whole), ...whole.params.map(({ shape }) => 4 * sizeOf(shape)));
    const limits = pick(DEFAULT_LIMITS, limitsOf(largest), limitsOf(2 * largest));
    const plan = makePlan(graph, outputs, limits);
    followValues(graph, plan, outputs, limits);
    const bytes = sum(plan.buffers);
    const least = plan.activationLowerBound;
    assert.ok(bytes >= least, `${bytes} bytes, and ${least} at least`);
    if (limits === DEFAULT_LIMITS) ratios.push(bytes / least);
  }
  const mean = sum(ratios) / ratios.length;
  console.log(`note: ${ratios.length} random nets take ${mean.toFixed(3)} times what is alive at once`);
});

test("a chain needs two buffers, the largest neighbours", () => {
  const graph = new Graph();
  let x = graph.input("x", [100]);
  for (let i = 0; i < 20; i++) x = relu(x);
  graph.name("y", x);
  const plan = makePlan(graph, ["y"]);
  assert.equal(plan.buffers, [400, 400]);
  assert.is(plan.activationLowerBound, 800);
});

test("a step reads beside what it writes where two buffers would have to be half empty", async () => {
  const graph = new Graph();
  let x = graph.input("x", [1, 1, 8, 8]);
  // Two neighbours of 10 and 10 channels, later one of 18: in buffers of 10 and 18 these are 1.4 times what is alive.
  for (const [i, channels] of [10, 10, 1, 18, 1].entries()) x = convLayer(`c${i}`, x, channels, 3, { padding: 1 });
  graph.name("y", add(x, x));
  const plan = makePlan(graph, ["y"]);
  followValues(graph, plan, ["y"]);
  assert.ok(sum(plan.buffers) <= 1.25 * plan.activationLowerBound, `${plan.buffers}`);
  assert.ok(plan.steps.some((step) => rangesOf(step, "storage").length > 1));
  const tensors = randomTensors(graph);
  assertOutputs(await runPlan(gpu, plan, tensors), graph, ["y"], tensors);
});

test("views cost nothing and keep what they show alive", async () => {
  const graph = new Graph();
  const x = graph.input("x", [2, 3, 4]);
  const flat = flatten(tanh(x));
  const other = relu(relu(x));
  graph.name("y", linear(flat, graph.param("w", [5, 12])));
  graph.name("flat", flat);
  graph.name("other", flatten(other, { startDim: 0 }));
  const outputs = ["y", "flat", "other", "flat"];
  const plan = makePlan(graph, outputs);
  assert.is(plan.steps.length, 4);
  followValues(graph, plan, outputs);
  const tensors = randomTensors(graph);
  assertOutputs(await runPlan(gpu, plan, tensors), graph, outputs, tensors);
});

test("inputs are in place before the first step, wherever they stand in the graph", async () => {
  const graph = new Graph();
  let x = graph.input("a", [50]);
  for (let i = 0; i < 4; i++) x = tanh(x);
  graph.name("y", add(x, graph.input("b", [50])));
  graph.name("asked for", graph.input("unused", [50]));
  const outputs = ["y", "asked for"];
  const plan = makePlan(graph, outputs);
  followValues(graph, plan, outputs);
  const tensors = randomTensors(graph);
  assertOutputs(await runPlan(gpu, plan, tensors), graph, outputs, tensors);
});

test("a plan is plain data that can be printed", () => {
  const { graph, outputs } = randomNet(12);
  const plan = makePlan(fuse(graph, outputs), outputs);
  const isPlain = (value: unknown, path: string): void => {
    if (typeof value === "function") assert.match(path, /^plan\.params\.\d+\.from\.compute$/);
    if (typeof value !== "object" || value === null) return;
    const { name } = value.constructor;
    assert.ok(["Object", "Array", "Uint8Array"].includes(name), `${path} is a ${name}`);
    if (name !== "Uint8Array") for (const [key, inner] of Object.entries(value)) isPlain(inner, `${path}.${key}`);
  };
  isPlain(plan, "plan");
  const printed = JSON.parse(JSON.stringify(plan)) as Plan;
  assert.equal(printed.buffers, plan.buffers);
  assert.equal(
    printed.steps.map(({ label, code, grid }) => ({ label, code, grid })),
    plan.steps.map(({ label, code, grid }) => ({ label, code, grid })),
  );
});

test("steps are called by their layer, and tell their work", () => {
  const block = (x: Value) => relu(batchNormLayer("layer1.bn", convLayer("layer1.conv", x, 5, 2, { bias: false })));
  const { graph, outputs } = netOf(block, 2);
  const [step, ...rest] = makePlan(fuse(graph, outputs), outputs).steps;
  assert.is(rest.length, 0);
  assert.is(step.label, "layer1.conv");
  const [x, w, b, y] = [2 * 4 * 3 * 3, 5 * 4 * 2 * 2, 5, 2 * 5 * 2 * 2];
  assert.is(step.flops, y * (2 * 4 * 2 * 2 + 2));
  assert.is(step.bytes, 4 * (x + w + b + y));
});

/** Layers with large weights on small images. */
const WIDE: Readonly<Record<string, (x: Value) => Value>> = {
  "a convolution": (x) => relu(convLayer("conv", x, 2 * int(20, 40), 3, { groups: pick(1, 2) })),
  "a convolution with batchnorm": (x) => batchNormLayer("bn", convLayer("conv", x, int(40, 80), 3, { bias: false })),
  "a residual block": (x) => {
    const y = convLayer("a", x, int(20, 30), 3, { padding: 1 });
    return relu(add(convLayer("b", y, y.shape[1], 3, { padding: 1 }), y));
  },
  "linear layers": (x) => linearLayer("fc2", relu(linearLayer("fc1", flatten(x), int(40, 90))), int(3, 50)),
};

for (const [name, build] of Object.entries(WIDE)) {
  test(`weights over the limit are split: ${name}`, async () => {
    for (let i = 0; i < 4; i++) {
      const { graph, outputs } = netOf(build, pick(1, 3));
      const tensors = randomTensors(graph);
      for (const rewritten of [graph, fuse(graph, outputs)]) {
        const limit = largestOf(makePlan(rewritten, outputs));
        const plan = makePlan(rewritten, outputs, limitsOf(limit));
        assert.ok(plan.params.some(({ pieces }) => pieces.length > 1));
        for (const { pieces, shape } of plan.params) {
          assert.ok(4 * Math.max(...pieces) <= limit);
          assert.is(sum(pieces), sizeOf(shape));
        }
        assertOutputs(await runPlan(gpu, plan, tensors), graph, outputs, tensors);
      }
    }
  });
}

test("a weight in pieces costs what it costs whole", () => {
  const { graph, outputs } = netOf((x) => linearLayer("fc", flatten(x), 100));
  const [whole] = makePlan(graph, outputs).steps;
  const { steps, params } = makePlan(graph, outputs, limitsOf(1440));
  assert.equal(
    params.map(({ pieces }) => pieces),
    [new Array(10).fill(360), [100]],
  );
  assert.is(steps.length, 10);
  assert.is(new Set(steps.map(({ code }) => code)).size, 1);
  assert.is(Math.round(sum(steps.map(({ flops }) => flops))), whole.flops);
  assert.is(Math.round(sum(steps.map(({ bytes }) => bytes))), whole.bytes);
});

test("what cannot be split is refused", async () => {
  const refusesPlan = (build: (x: Value) => Value, bytes: number, message: RegExp) => {
    const { graph, outputs } = netOf(build);
    return refuses(() => makePlan(graph, outputs, limitsOf(bytes)), GpuError, "LIMIT", message);
  };
  await refusesPlan(relu, 143, /input "x" needs .* MiB; the device binds at most .* MiB: use a smaller batch or image/);
  await refusesPlan(
    (x) => convLayer("conv", x, 9, 1),
    144,
    /the output of "conv" needs .* MiB; the device binds at most/,
  );
  await refusesPlan((x) => concat(x, x), 144, /the output of "y" needs/);
  const large = (x: Value) => convLayer("conv", x, 2, 5, { padding: 1 });
  await refusesPlan(large, 144, /a row of "conv.weight" needs .*; the device binds at most/);
  const product = (x: Value) => matmul(flatten(x), x.graph.param("m", [36, 3]));
  await refusesPlan(product, 144, /matmul cannot split its input b, param "m", over the device's binding limit/);
});

test("an unknown output is refused, naming those there are", async () => {
  const graph = new Graph();
  graph.name("fc", relu(graph.input("x", [1])));
  const plan = () => makePlan(graph, ["fc2"], DEFAULT_LIMITS);
  await refuses(plan, UsageError, "USAGE", /there is no layer called "fc2"; there are fc/);
});

test.run();
