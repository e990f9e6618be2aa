import { test } from "uvu";
import type { Value } from "../../../engine/graph/value.ts";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import type { Tensor } from "../../../engine/ground/tensor.ts";
import type { Activation } from "../../../kernels/activation.ts";
import { sizeOfTile, TILES, type Tile, tileName } from "../../../kernels/conv2d/tiles.ts";
import { add } from "../../../kernels/elementwise/add.ts";
import { linear } from "../../../kernels/linear/linear.ts";
import { linearGemv } from "../../../kernels/linear/linear_gemv.ts";
import { evaluateReference } from "../../../kernels/references.ts";
import {
  apply,
  assertClose,
  checkKernel,
  drawnActivations,
  drawnTiles,
  int,
  isDeep,
  nonFiniteTensor,
  type Operator,
  open,
  pick,
  randomTensor,
  refuses,
  rounds,
  someOf,
  testGoldens,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

const isSlow = gpu.traits.software && !isDeep;
const PLAIN = ["none", "relu"] as const;
const activations = drawnActivations(gpu);
const tiles = (some: readonly Tile[]) =>
  Object.fromEntries(some.map((t) => [tileName("linear_tile", sizeOfTile(t)), false as const]));
const leftOut = TILES.filter((tile) => !drawnTiles(gpu).includes(tile));

const check = (inputs: Record<"x" | "w", Tensor> & { b?: Tensor }, activation = pick(...activations)) =>
  checkKernel(gpu, linear, inputs, { activation }, 8, tiles(isLeftOut(activation) ? TILES : leftOut));
/** Software adapters compile the tiles without activations beyond relu. */
const isLeftOut = (activation: Activation) => gpu.traits.software && !PLAIN.some((plain) => plain === activation);

test("random layers", async () => {
  for (let i = 0; i < rounds(40, 3); i++) {
    const [outFeatures, inFeatures] = [int(1, 40), int(1, 150)];
    const leading = pick([], [1], [3], [5], [2, 3], [1, 2, 2]);
    const inputs = {
      x: randomTensor([...leading, inFeatures]),
      w: randomTensor([outFeatures, inFeatures]),
      b: pick(undefined, randomTensor([outFeatures])),
    };
    await check(inputs);
  }
});

test("random layers of many rows and whole vec4s of features", async () => {
  for (let i = 0; i < rounds(20, 1); i++) {
    const [outFeatures, inFeatures] = [4 * int(1, 30), 4 * int(1, 40)];
    const inputs = {
      x: randomTensor([...pick([], [2]), int(5, 90), inFeatures]),
      w: randomTensor([outFeatures, inFeatures]),
      b: pick(undefined, randomTensor([outFeatures])),
    };
    await check(inputs, i === 0 ? pick(...PLAIN) : undefined);
  }
});

const THREADS = [8, 16, 32, 64, 128, 256];

test("random layers of few rows, whose sums any number of threads share as on GPUs", async () => {
  for (const threads of isSlow ? someOf(THREADS, 1) : THREADS) {
    for (const rows of isSlow ? [pick(1, int(2, 9))] : [1, int(2, 9)]) {
      const [outFeatures, inFeatures] = [int(1, 40), 4 * int(1, 600)];
      const inputs = {
        x: randomTensor([rows, inFeatures]),
        w: randomTensor([outFeatures, inFeatures]),
        b: pick(undefined, randomTensor([outFeatures])),
      };
      await checkKernel(gpu, linearGemv, inputs, { threads, activation: pick(...activations) });
    }
  }
});

test("NaN and infinity stay in their row, with and without relu", async () => {
  for (const relu of [false, true]) {
    for (const [outFeatures, inFeatures] of [
      [5, 13],
      [8, 12],
    ]) {
      const w = randomTensor([outFeatures, inFeatures]);
      const inputs = { x: nonFiniteTensor([9, inFeatures]), w, b: randomTensor([outFeatures]) };
      await checkKernel(gpu, linear, inputs, { relu }, 8, tiles(leftOut));
    }
  }
});

test("the weight may be computed, for an input of any rank", async () => {
  const layer = (x: Value, w: Value) => linear(x, add(w, w));
  for (const leading of [[], [3], [2, 3], [1, 2, 2]]) {
    const [x, w] = [randomTensor([...leading, 7]), randomTensor([5, 7])];
    const twice = { ...w, data: w.data.map((v) => 2 * v) };
    const got = await gpu.eager(layer as Operator, x, w);
    assertClose(got, evaluateReference(linear, { x, w: twice }), () => 1e-5);
  }
});

test("what does not fit is refused", async () => {
  const refusesShape = (shapes: number[][], message: RegExp) =>
    refuses(() => apply(linear, shapes), ShapeError, "SHAPE", message);

  await refusesShape(
    [
      [2, 5],
      [3, 4, 5],
    ],
    /linear: w must be \[O, K\], got \[3, 4, 5\]/,
  );
  await refusesShape(
    [
      [2, 5],
      [3, 4],
    ],
    /linear: x is \[2, 5\]; w \[3, 4\] wants a last dimension of 4/,
  );
  await refusesShape([[], [3, 4]], /linear: x is \[\]/);
  await refusesShape([[2, 4], [3, 4], [4]], /linear: b is \[4\]; w \[3, 4\] wants \[3\]/);
  const bias = () =>
    apply(
      linear,
      [
        [2, 4],
        [3, 4],
      ],
      { bias: true },
    );
  await refuses(bias, UsageError, "USAGE", /linear has no option "bias"; its options are activation/);
});

testVariants(gpu, linear, Object.keys(tiles(leftOut)));
await testGoldens(gpu, "linear");
test.run();
