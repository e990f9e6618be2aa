import { test } from "uvu";
import * as assert from "uvu/assert";
import { compile } from "../../../engine/graph/compile.ts";
import { Graph } from "../../../engine/graph/graph.ts";
import type { AnyKernel } from "../../../engine/graph/kernel.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import type { Dtype } from "../../../engine/ground/options.ts";
import type { Shape, Tensor } from "../../../engine/ground/tensor.ts";
import type { Activation } from "../../../kernels/activation.ts";
import { conv2d } from "../../../kernels/conv2d/conv2d.ts";
import { matmulSubgroup } from "../../../kernels/conv2d/conv2d_subgroup.ts";
import { tileKernels } from "../../../kernels/conv2d/conv2d_tile.ts";
import { sizeOfTile, TILES, tileName } from "../../../kernels/conv2d/tiles.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import { variants } from "../../../kernels/variants.ts";
import {
  apply,
  checkKernel,
  drawConvolution,
  drawnActivations,
  drawnTiles,
  inDepth,
  int,
  isDeep,
  magnitudes,
  nonFiniteTensor,
  open,
  pick,
  random,
  randomTensor,
  refuses,
  rounds,
  runPlan,
  sumBound,
  testGoldens,
  testVariants,
  ulps,
} from "../../harness.ts";

const gpu = await open();

/**
 * The Winograd variants' gate, in place of the 8 of a direct convolution: its sums cancel, and over a whole tile, so that
 * it is to be measured by the largest sum of magnitudes in the image.
 */
const WINOGRAD_K = 100;

const everyWinograd = <T>(tolerance: T) => ({ conv2d_winograd: tolerance, conv2d_winograd_2x2: tolerance });

/** With a bias, a residual, an activation. Few of a run, since every combination is compiled on its own. */
const drawEpilogue = (...activations: readonly Activation[]) =>
  [random() < 0.5, random() < 0.5, pick(...activations)] as const;

const isSlow = gpu.traits.software && !isDeep;

/** One that NaN passes through, for every variant. */
const MAIN_EPILOGUE = drawEpilogue("relu", "none");
const OTHER_EPILOGUES = Array.from({ length: isSlow ? 1 : 2 }, () => drawEpilogue(...drawnActivations(gpu)));

/** These take seconds to compile on software adapters: there with one epilogue, and on SwiftShader one of them in a run. */
const SLOW = TILES.map((tile) => tileName("conv2d_tile", sizeOfTile(tile)));
const LEFT_OUT = TILES.filter((tile) => !drawnTiles(gpu).includes(tile)).map((tile) =>
  tileName("conv2d_tile", sizeOfTile(tile)),
);

const without = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [name, false as const]));

async function check(
  { x, w, options }: ReturnType<typeof drawConvolution>,
  epilogue = random() < 0.6 ? MAIN_EPILOGUE : pick(...OTHER_EPILOGUES),
): Promise<void> {
  const [bias, residual, activation] = epilogue;
  const r = residual ? randomTensor(apply(conv2d, [x, w], options).shape) : undefined;
  const inputs = { x: randomTensor(x), w: randomTensor(w), b: bias ? randomTensor([w[0]]) : undefined, r };
  const all = { ...options, activation };
  const bound = sumBound(conv2d, magnitudes(inputs), all, WINOGRAD_K);
  const largest = Math.max(...evaluateReference(conv2d, inputs, all).data.map(bound));
  await checkKernel(gpu, conv2d, inputs, all, 8, {
    ...everyWinograd(() => largest),
    ...without(...(gpu.traits.software && epilogue !== MAIN_EPILOGUE ? SLOW : LEFT_OUT)),
  });
}

test("random convolutions", async () => {
  for (let i = 0; i < rounds(40, 3); i++) await check(drawConvolution());
});

test("random convolutions to whole vec4s of channels", async () => {
  for (let i = 0; i < rounds(30, 2); i++) await check(drawConvolution({ groupOut: 4 * int(1, 17) }));
});

test("random 3x3 convolutions", async () => {
  for (let i = 0; i < rounds(30, 2); i++)
    await check(drawConvolution({ groupIn: 4 * int(1, 4), groupOut: 4 * int(1, 10), plain3x3: true }));
});

test("random grouped convolutions", async () => {
  for (let i = 0; i < rounds(20); i++)
    await check(drawConvolution({ groups: int(2, 4), groupIn: int(1, 3), groupOut: int(1, 3) }));
});

test("random convolutions in groups of whole vec4s of channels", async () => {
  for (let i = 0; i < rounds(20); i++)
    await check(drawConvolution({ groups: int(2, 4), groupIn: 4 * int(1, 3), groupOut: 4 * int(1, 3) }));
});

test("random depthwise convolutions", async () => {
  for (let i = 0; i < rounds(10); i++)
    await check(drawConvolution({ groups: int(2, 9), groupIn: 1, groupOut: pick(1, 1, 2) }));
});

test("random depthwise convolutions of whole vec4s of channels", async () => {
  for (let i = 0; i < rounds(20); i++) await check(drawConvolution({ groups: 4 * int(1, 5), groupIn: 1, groupOut: 1 }));
});

test("random convolutions of one pixel with one pixel", async () => {
  for (let i = 0; i < rounds(12); i++) {
    const [channels, outChannels] = [pick(int(1, 9), 4 * int(1, 30)), int(1, 40)];
    const options = { stride: 1, dilation: 1, padding: 0, groups: 1 };
    const draw = { x: [int(1, 5), channels, 1, 1], w: [outChannels, channels, 1, 1], options };
    await check(draw, [random() < 0.7, false, pick(...drawnActivations(gpu))]);
  }
});

test("random convolutions of small images with long sums", async () => {
  for (let i = 0; i < rounds(10); i++) {
    const plain3x3 = i % 2 === 0 || pick(true, false);
    await check(drawConvolution({ groupIn: int(29, 70), groupOut: 4 * int(1, 20), plain3x3, room: 4 }));
  }
});

// Of f16: see conv2d_matrix.test.ts and tiles.test.ts.
const IN_F16 = variants.conv2d.map(({ name }) => name).filter((name) => /_(matrix|tile_f16)/.test(name));
testVariants(gpu, conv2d, [...IN_F16, ...LEFT_OUT]);

test("NaN and infinity reach the outputs that see them, and no others", async () => {
  for (let i = 0; i < rounds(10); i++) {
    const { x, w, options } = drawConvolution({ groupIn: 4, groupOut: 4 });
    const [bias, residual, activation] = MAIN_EPILOGUE;
    const b = bias ? randomTensor([w[0]]) : undefined;
    const r = residual ? randomTensor(apply(conv2d, [x, w], options).shape) : undefined;
    const inputs = { x: nonFiniteTensor(x), w: randomTensor(w), b, r };
    // Winograd's tiles share what they see: it is left out.
    await checkKernel(gpu, conv2d, inputs, { ...options, activation }, 8, {
      ...everyWinograd(false as const),
      ...without(...LEFT_OUT),
    });
  }
});

test("random batches of matrix products, as Winograd's convolutions have them", async () => {
  const { subgroupSize } = gpu.traits;
  const kernels: [AnyKernel, object][] = drawnTiles(gpu).map((tile) => [tileKernels(tile).matmul, {}]);
  if (subgroupSize >= 4 && subgroupSize <= 64) kernels.push([matmulSubgroup, { subgroup: subgroupSize }]);
  for (let i = 0; i < rounds(20); i++) {
    const [batch, m, k, n] = [isDeep ? pick(1, 16, 36) : int(1, 4), int(1, 150), 4 * int(1, 12), 4 * int(1, 40)];
    const inputs = { x: randomTensor([batch, m, k]), w: randomTensor([batch, k, n]) };
    for (const [kernel, options] of kernels) await checkKernel(gpu, kernel, inputs, options);
  }
});

/** Normal with mean 0. (Box and Muller, 1958.) */
const normal = (deviation: number): number =>
  deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

const normalTensor = (shape: Shape, deviation: number): Tensor => {
  const { data } = randomTensor(shape);
  return { shape, data: data.map(() => normal(deviation)) };
};

/** The rms error of a variant over the rms of its output, for images as they come from a relu, and weights as He has them. */
async function relativeError(variant: string, channels: number, side: number, dtype: Dtype): Promise<number> {
  const image = normalTensor([1, channels, side, side], 1);
  const x = { ...image, data: image.data.map((value) => Math.max(0, value)) };
  const w = normalTensor([8, channels, 3, 3], Math.sqrt(2 / (9 * channels)));
  const graph = new Graph();
  graph.name("y", conv2d(graph.input("x", x.shape), graph.param("w", w.shape), { padding: 1 }));
  const plan = compile(graph, ["y"], gpu, { passes: [], variants: { conv2d: variant }, dtype });
  const { y } = await runPlan(gpu, plan, { x, w });
  const want = evaluateReference(conv2d, { x, w }, { padding: 1 }).data;
  const squares = want.reduce((sum, value) => sum + value ** 2, 0);
  return Math.sqrt(want.reduce((sum, value, i) => sum + (y.data[i] - value) ** 2, 0) / squares);
}

test("the variants that round more have the errors that they state", async () => {
  const dtypes: Dtype[] = gpu.traits.f16 ? ["f32", "f16"] : ["f32"];
  for (const dtype of dtypes) {
    const approximate = variants.conv2d.filter(({ error }) => (error?.[dtype] ?? 0) > 0);
    const tiles = dtype === "f16" ? TILES.map((tile) => tileName("conv2d_tile_f16", sizeOfTile(tile))) : [];
    assert.equal(
      approximate.map(({ name }) => name),
      [...Object.keys(everyWinograd(0)), ...tiles],
    );
    // A tile takes a software adapter seconds to compile: one of them.
    const drawn = tiles.length > 0 ? pick(...tiles) : undefined;
    for (const { name, error } of approximate) {
      if (tiles.includes(name) && name !== drawn) continue;
      const stated = error?.[dtype] ?? 0;
      for (const [channels, side] of [
        [128, 14],
        [512, 7],
      ]) {
        const got = await relativeError(name, channels, side, dtype);
        const what = `${name} of ${channels} channels in ${dtype} is off by ${got}`;
        assert.ok(got <= stated, `${what}, and states ${stated}`);
        assert.ok(got > stated / 20, `${what} only, and states ${stated}`);
      }
    }
  }
});

inDepth("an image of millions of pixels", async () => {
  // More pixels than 65,535 workgroups of any variant have at one or two pixels per thread; SwiftShader's have 16 or 64 sums.
  const x = randomTensor([1, 1, isSlow ? 512 : 1024, 2050]);
  const w = randomTensor([4, 1, 1, 1]);
  // A workgroup of the tiles takes SwiftShader half a millisecond, and only the smallest tile needs so many.
  const left = without(...SLOW, pick("conv2d_subgroup", "conv2d_stem"));
  // Every sum has one term, which the result is rounded from.
  await checkKernel(gpu, conv2d, { x, w }, {}, ulps(4), isSlow ? left : {});
});

test("what does not fit is refused", async () => {
  const x = [1, 4, 8, 9];
  const w = [6, 4, 3, 3];
  const refusesShape = (shapes: (number[] | undefined)[], options: object, message: RegExp) =>
    refuses(() => apply(conv2d, shapes, options), ShapeError, "SHAPE", message);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(conv2d, [x, w], options), UsageError, "USAGE", message);

  await refusesShape([[4, 8, 9], w], {}, /conv2d takes images of shape \[N, C, H, W\], got \[4, 8, 9\]/);
  await refusesShape([x, [6, 4, 3]], {}, /w must be \[O, C\/groups, KH, KW\], got \[6, 4, 3\]/);
  await refusesShape([x, [6, 5, 3, 3]], {}, /x \[1, 4, 8, 9\] has 4 channels; w \[6, 5, 3, 3\] wants 5/);
  await refusesShape([x, w], { groups: 3 }, /groups is 3; it must divide the 4 input and 6 output channels/);
  await refusesShape([x, w], { groups: 4 }, /groups is 4; it must divide the 4 input and 6 output channels/);
  await refusesShape([x, w], { groups: 0 }, /groups is 0/);
  await refusesShape([x, w], { groups: 2 }, /has 4 channels; w \[6, 4, 3, 3\] wants 8/);
  await refusesShape([x, w, [5]], {}, /b is \[5\]; w \[6, 4, 3, 3\] wants \[6\]/);
  await refusesShape([x, w, undefined, [1, 6, 7, 7]], {}, /r is \[1, 6, 7, 7\] and y \[1, 6, 6, 7\]; they must agree/);
  await refusesShape([x, [6, 4, 9, 3]], {}, /a 9x3 kernel with dilation 1x1 does not fit x \[1, 4, 8, 9\]/);
  await refusesShape([x, w], { dilation: [1, 5] }, /a 3x3 kernel with dilation 1x5 does not fit/);
  await refusesUse(
    { strides: 2 },
    /no option "strides"; its options are stride, padding, dilation, groups, activation/,
  );
  await refusesUse({ stride: 0 }, /conv2d: stride is 0; it must be an integer of at least 1, or \[height, width\]/);
  await refusesUse({ stride: [1, 2, 3] }, /stride is \[1,2,3\]/);
  await refusesUse({ dilation: 1.5 }, /dilation is 1.5/);
  await refusesUse({ padding: -1 }, /padding is -1; it must be an integer of at least 0, \[vertical, horizontal\]/);
  await refusesUse({ padding: [1, 2, 3] }, /padding is \[1,2,3\]/);
});

await testGoldens(gpu, "conv2d", "depthwise_conv2d", "conv_bn_act");
test.run();
