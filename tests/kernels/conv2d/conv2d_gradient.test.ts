// The gradients of a convolution as training has them: convolutions themselves, or kernels of their own.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph, type OpNode } from "../../../engine/graph/graph.ts";
import type { Plan } from "../../../engine/graph/plan.ts";
import type { Value } from "../../../engine/graph/value.ts";
import type { Shape } from "../../../engine/ground/tensor.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { conv2dInputGradient } from "../../../kernels/conv2d/conv2d_input_gradient.ts";
import { conv2dWeightGradient } from "../../../kernels/conv2d/conv2d_weight_gradient.ts";
import type { Padding, Pair } from "../../../kernels/options.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import {
  assertClose,
  drawConvolution,
  inNhwc,
  int,
  magnitudes,
  open,
  pick,
  randomTensor,
  rounds,
  runPlan,
  sumBound,
} from "../../harness.ts";

const training = await tableFor();

const gpu = await open();

interface Convolution {
  readonly x: Shape;
  readonly w: Shape;
  readonly options: {
    readonly stride?: Pair;
    readonly padding?: Padding;
    readonly dilation?: Pair;
    readonly groups?: number;
  };
}

const kernelsOf = ({ steps }: Plan): string[] => steps.map(({ kernel }) => kernel);

/** Both gradients by the loops of their definition; the kernels that computed them. */
async function check({ x, w, options }: Convolution): Promise<string[]> {
  const graph = new Graph();
  graph.training = { dropout: (each) => each, pack: training.pack };
  const laidOut = pick(inNhwc, (value: Value) => value);
  const [image, filters] = [laidOut(graph.input("x", x)), graph.input("w", w)];
  const y = conv2d(image, filters, options);
  // By what training loads for such a convolution.
  const { gradients } = await tableFor(graph, Infinity);
  const { options: complete } = graph.nodes[y.id] as OpNode;
  const slopes = laidOut(graph.input("dy", y.shape));
  const made = gradients.of.conv2d({ inputs: { x: image, w: filters }, options: complete, y, dy: slopes });
  const [dx, dw] = [made.x?.(), made.w?.()];
  assert.ok(dx && dw);
  graph.name("dx", dx);
  graph.name("dw", dw);
  const target = { traits: gpu.traits, limits: gpu.limits, variants: { ...gpu.variants, ...training.variants } };
  const plan = compile(graph, ["dx", "dw"], target, { precision: "strict" });
  const tensors = { x: randomTensor(x), w: randomTensor(w), dy: randomTensor(y.shape) };
  const got = await runPlan(gpu, plan, tensors);
  for (const [name, kernel, inputs, all] of [
    ["dx", conv2dInputGradient, { dy: tensors.dy, w: tensors.w }, { ...options, size: x.slice(2) }],
    ["dw", conv2dWeightGradient, { x: tensors.x, dy: tensors.dy }, { ...options, kernel: w.slice(2) }],
  ] as const) {
    const what = `${name} of [${x}] by [${w}] with ${JSON.stringify(options)}`;
    assertClose(got[name], evaluateReference(kernel, inputs, all), sumBound(kernel, magnitudes(inputs), all, 8), what);
  }
  return kernelsOf(plan);
}

test("random convolutions", async () => {
  for (let i = 0; i < rounds(40); i++) await check(drawConvolution());
});

test("random convolutions of whole vec4s of channels", async () => {
  for (let i = 0; i < rounds(60); i++) {
    await check(drawConvolution({ groupIn: 4 * int(1, 3), groupOut: 4 * int(1, 3) }));
  }
});

test("random grouped and depthwise convolutions", async () => {
  for (let i = 0; i < rounds(20); i++) {
    await check(drawConvolution({ groups: 4, groupIn: pick(1, 2), groupOut: pick(1, 2) }));
  }
});

test("the layers that nets have, by their fast kernels: dense ones have no others", async () => {
  const layers: Convolution[] = [
    { x: [4, 16, 20, 20], w: [16, 16, 3, 3], options: { padding: 1 } },
    { x: [2, 16, 19, 20], w: [24, 16, 3, 3], options: { padding: 1, stride: 2 } },
    { x: [2, 16, 16, 17], w: [32, 16, 1, 1], options: { stride: 2 } },
    { x: [3, 32, 12, 12], w: [32, 32, 1, 1], options: {} },
    { x: [2, 8, 14, 14], w: [16, 8, 5, 5], options: { padding: 2 } },
    { x: [2, 8, 20, 14], w: [16, 8, 3, 3], options: { padding: 2, dilation: 2 } },
    { x: [2, 8, 15, 15], w: [8, 8, 1, 7], options: { padding: [0, 3] } },
    { x: [5, 8, 5, 6], w: [24, 8, 5, 6], options: {} },
    { x: [3, 8, 4, 4], w: [16, 8, 4, 4], options: { stride: 3 } },
    // Of more pixels than one sum has: some images at a time, and some rows of these.
    { x: [9, 8, 30, 31], w: [12, 8, 1, 1], options: {} },
    { x: [5, 8, 40, 41], w: [12, 8, 3, 3], options: { padding: 1 } },
    { x: [2, 8, 131, 67], w: [8, 8, 3, 3], options: { padding: 1, stride: 2 } },
    { x: [1, 8, 80, 81], w: [8, 8, 1, 1], options: { stride: 1 } },
    { x: [3, 8, 60, 61], w: [8, 8, 3, 3], options: { padding: 2, dilation: 2 } },
    { x: [4, 8, 75, 66], w: [8, 8, 3, 1], options: { padding: [1, 0, 2, 0] } },
    { x: [4, 8, 81, 84], w: [8, 8, 2, 2], options: { stride: 2 } },
  ];
  for (const layer of layers) {
    const kernels = await check(layer);
    assert.not.ok(
      kernels.some((name) => /_gradient$/.test(name)),
      `${kernels}`,
    );
  }
});

test("weights of one tap are where the product has them: no image but x and dy changes its layout", async () => {
  for (let i = 0; i < 4; i++) {
    const kernels = await check({ x: [3, 32, 12, 12], w: [16, 32, 1, 1], options: {} });
    assert.ok(kernels.filter((name) => name === "to_nhwc").length <= 2, `${kernels}`);
  }
});

test("the first layer of a net, of three channels", async () => {
  await check({ x: [2, 3, 32, 32], w: [16, 3, 7, 7], options: { padding: 3, stride: 2 } });
});

test("padding beyond the kernel, and rows that a stride leaves out", async () => {
  for (const options of [{ padding: 3 }, { padding: [0, 0, 3, 1] as const, stride: 2 }, { stride: [3, 2] as const }]) {
    await check({ x: [2, 4, 9, 11], w: [8, 4, 2, 2], options });
  }
  await check({ x: [3, 8, 50, 51], w: [8, 8, 2, 2], options: { padding: 3 } });
});

test.run();
