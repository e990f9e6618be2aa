// Shared by the tests: an open GPU, inputs that are new in every run, and the comparison of a kernel with its reference.
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AnyNet, NetDefinition } from "../engine/definition.ts";
import type { Gpu, OpenOptions } from "../engine/gpu.ts";
import { compile } from "../engine/graph/compile.ts";
import { Graph } from "../engine/graph/graph.ts";
import { type AnyKernel, completeOptions } from "../engine/graph/kernel.ts";
import type { Plan } from "../engine/graph/plan.ts";
import type { Value } from "../engine/graph/value.ts";
import type { Matrices, Variants } from "../engine/graph/variant.ts";
import type { ShadenetError } from "../engine/ground/errors.ts";
import { formatShape, type Shape, sizeOf, type Tensor, tensor } from "../engine/ground/tensor.ts";
import { withModel } from "../engine/model.ts";
import type { Net } from "../engine/net.ts";
import { openGpu } from "../index.ts";
import { ACTIVATIONS, type Activation, errorBehind } from "../kernels/activation.ts";
import { concat } from "../kernels/concat.ts";
import type { Cut } from "../kernels/conv2d/cut.ts";
import { TILES, type Tile } from "../kernels/conv2d/tiles.ts";
import { add } from "../kernels/elementwise/add.ts";
import { relu } from "../kernels/elementwise/relu.ts";
import { flatten } from "../kernels/flatten.ts";
import { asNchw } from "../kernels/layout/layout.ts";
import { toNhwc } from "../kernels/layout/to_nhwc.ts";
import { type Pair, pair, sides } from "../kernels/options.ts";
import { avgPool2d } from "../kernels/pool2d/avgpool2d.ts";
import { maxPool2d } from "../kernels/pool2d/maxpool2d.ts";
import { evaluateReference } from "../kernels/references.ts";
import { tableFor } from "../kernels/training/table.ts";
import { variants as inferenceVariants } from "../kernels/variants.ts";
import { imagenet } from "../nets/imagenet.ts";
import { batchNormLayer, convLayer, linearLayer, named } from "../nets/layers.ts";
import { runCase } from "./conformance/conformance.ts";
import { openCases } from "./conformance/goldens.ts";

/** Those that are open, by their limits: the files that a process runs share them. */
const gpus = new Map<OpenOptions["limits"], Gpu>();

/** Opens a GPU for all tests of a file. Whatever they leave on it makes the file fail. */
export async function open(limits: OpenOptions["limits"] = "adapter"): Promise<Gpu> {
  // Without a hash of the kernels, what this user has tuned stays out of the tests.
  const gpu = gpus.get(limits) ?? (await openGpu({ kernelHash: undefined, limits }));
  // In a process of tests/run.ts it stays open until that ends.
  if (!gpus.has(limits)) process.once("disconnect", () => gpu.close());
  gpus.set(limits, gpu);
  const { generation } = gpu;
  test.after(async () => {
    // Some losses within a minute are the end of it, for all files of the process.
    if (gpu.generation !== generation) complain("the tests lost the device that others share: lose one of their own");
    // What was disposed of ends after the runs that were asked for, on a busy machine some time later.
    for (let i = 0; i < 500 && (i === 0 || gpu.alive.buffers > 0); i++) await idle();
    const { buffers } = gpu.alive;
    if (!process.connected) gpu.close();
    if (buffers === 0) return;
    // An error here would hide those of the tests, which leave buffers where they fail. Their totals set the code anew.
    complain(`the tests left ${buffers} buffers on the GPU`);
  });
  return gpu;
}

/** Fails a file as a whole. */
function complain(text: string): void {
  console.error(text);
  setImmediate(() => {
    process.exitCode = 1;
  });
}

/** Lets what was begun but not waited for come to its end. */
export const idle = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 20));

/** Of all random numbers of this run. */
export const seed = Number(process.env.SEED ?? Date.now()) >>> 0;
let state: number | undefined;

/** What other things that files share want done before each. */
export const beginnings: (() => void)[] = [];

/** Begins a file of tests: its random numbers, and what it has run. */
export function begin(): void {
  state = undefined;
  taken.clear();
  for (const each of beginnings) each();
}

/** Uniform in [0, 1), other numbers in every run. (SplitMix: Steele, Lea, Flood 2014, in 32 bits.) */
export function random(): number {
  if (state === undefined) {
    console.log(`SEED=${seed} repeats these inputs`);
    state = seed;
  }
  state = (state + 0x9e3779b9) >>> 0;
  let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
}

/** Whether the tests are to take their time: CI sets it where that is affordable. */
export const isDeep = process.env.SHADENET_DEEP === "1";

/** What is run in deep runs only. */
export const deepOnly = <T extends unknown[]>(run: (...given: T) => void): ((...given: T) => void) =>
  isDeep ? run : () => {};

/** A test for deep runs: what takes seconds and finds little that the others do not. */
export const inDepth: (...given: Parameters<typeof test>) => void = deepOnly(test);

/**
 * How many configurations a test draws: `all` of them in a deep run, else an eighth or as many as are `usual`, since every
 * run draws others. What has to happen in every run may not be left to chance in either.
 */
export const rounds = (all: number, usual = Math.max(2, Math.ceil(all / 8))): number => (isDeep ? all : usual);

/** So many of a list, others in every run; in a deep one all of them, or so many. */
export function someOf<T>(all: readonly T[], usual: number, deep = all.length): T[] {
  const left = [...all];
  const count = Math.min(isDeep ? deep : usual, all.length);
  if (count === all.length) return left;
  return Array.from({ length: count }, () => left.splice(int(0, left.length - 1), 1)[0]);
}

/** A device's matrix units, NVIDIA's if nothing else is said. */
export const matricesOf = (given: Partial<Matrices> = {}): Matrices => ({
  m: 16,
  n: 16,
  k: 16,
  factors: "f16",
  subgroup: 32,
  sized: false,
  orderArgument: false,
  memory: 32768,
  ...given,
});

/**
 * The tiles that a run tests. SwiftShader compiles each for seconds: there it is one, the same in every file, so that it is
 * compiled once.
 */
export function drawnTiles({ traits }: Gpu): readonly Tile[] {
  if (isDeep || !traits.software) return TILES;
  return [TILES[seed % TILES.length]];
}

/**
 * The activations that a run tests: beyond relu each is compiled on its own, which takes software adapters longer than all the
 * rest. There it is one, the same in every file.
 */
export const drawnActivations = ({ traits }: Gpu): readonly Activation[] =>
  traits.software ? ["none", "relu", ACTIVATIONS[2 + (seed % (ACTIVATIONS.length - 2))]] : ACTIVATIONS;

/** An integer from `least` to `most`, both included. */
export const int = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1));

export const pick = <const T extends readonly unknown[]>(...choices: T): T[number] =>
  choices[int(0, choices.length - 1)];

/** An option of one number for both dimensions, or of [height, width]. */
export const pairOf = (draw: () => number): Pair => pick(draw(), [draw(), draw()]);

/** Of zero to four dimensions. */
export const randomShape = (least = 0, most = 4): number[] => Array.from({ length: int(least, most) }, () => int(1, 9));

/**
 * The shape of a loop's call of that number: any for three of four, else an image's, of which every second has whole vec4s
 * of channels, which variants ask for.
 */
export const drawShape = (call: number): number[] =>
  call % 4 ? randomShape() : randomShape(4).with(1, call % 8 ? int(1, 9) : 4 * int(1, 3));

/** [N, C, ...] of the i-th call of several, N being at least so much; every other is of images of whole vec4s of channels. */
export const drawBatch = (i: number, least = 1): number[] =>
  i % 2 ? [int(least, 5), pick(4, 8, 12), int(1, 9), int(1, 9)] : [int(least, 5), int(1, 9), ...randomShape(0, 3)];

/** The dimensions of a tensor in random order, some of them counted from the back. */
export const randomOrder = (rank: number): number[] =>
  Array.from({ length: rank }, (_, d) => ({ d, key: random() }))
    .sort((a, b) => a.key - b.key)
    .map(({ d }) => pick(d, d - rank));

/** Uniform in [-scale, scale). */
export const randomTensor = (shape: Shape, scale = 1): Tensor => ({
  shape,
  data: Float32Array.from({ length: sizeOf(shape) }, () => (2 * random() - 1) * scale),
});

/** A random pooling that fits: the shape of x, and options but for the given dilation. */
export function drawPool(dilation: Pair = 1) {
  const kernel = pairOf(() => int(1, 5));
  const [sizes, steps] = [pair("kernel", kernel), pair("dilation", dilation)];
  const windows = sizes.map((size, d) => steps[d] * (size - 1) + 1);
  const halves = windows.map((window) => Math.floor(window / 2));
  const padding: Pair = pick(int(0, Math.min(...halves)), [int(0, halves[0]), int(0, halves[1])]);
  const image = pair("padding", padding, 0).map((side, d) => Math.max(1, windows[d] - 2 * side) + int(0, 8));
  const stride = pick(
    null,
    pairOf(() => int(1, 7)),
  );
  return {
    x: [pick(1, 3, 5), pick(int(1, 7), 4, 8), ...image],
    options: { kernel, stride, padding, ceilMode: pick(false, true) },
  };
}

interface DrawConvolution {
  readonly groups?: number;
  readonly groupIn?: number;
  readonly groupOut?: number;
  /** 3x3 with stride and dilation 1. */
  readonly plain3x3?: boolean;
  /** Pixels that the image is larger than the window, at most. */
  readonly room?: number;
}

/** A random convolution that fits: the shapes of x and w, and options. */
export function drawConvolution({ plain3x3 = false, room = plain3x3 ? 20 : 8, ...channels }: DrawConvolution = {}) {
  const { groups = 1, groupIn = int(1, 9), groupOut = int(1, 9) } = channels;
  const kernel = plain3x3 ? [3, 3] : [int(1, 5), int(1, 5)];
  const dilation = plain3x3 ? 1 : pairOf(() => int(1, 3));
  const stride = plain3x3 ? 1 : pairOf(() => int(1, 6));
  const side = () => int(0, 3);
  const padding = pick(side(), [side(), side()] as const, [side(), side(), side(), side()] as const);
  const [top, left, bottom, right] = sides("padding", padding);
  const size = pair("dilation", dilation).map((step, d) => {
    const window = step * (kernel[d] - 1) + 1;
    return Math.max(1, window - [top + bottom, left + right][d]) + int(0, room);
  });
  return {
    x: [pick(1, 3, 5), groups * groupIn, ...size],
    w: [groups * groupOut, groupIn, ...kernel],
    options: { stride, dilation, padding, groups },
  };
}

/**
 * Two shapes that broadcast to one: sizes of 1 and missing leading dimensions in either, of up to eight dimensions of which
 * four are left when those that are stretched alike are joined; or, for every fourth call, images of one shape, of which
 * every second has whole vec4s of channels, for the variant.
 */
export function drawBroadcast(call: number): readonly [number[], number[]] {
  const image = drawShape(call);
  if (call % 4 === 0) return [image, image];
  const y = Array.from({ length: int(0, 4) }, () => pick([int(1, 9)], [int(1, 9)], [int(1, 3), int(1, 3)]));
  const ones = (sizes: readonly number[]) => sizes.map(() => 1);
  const shrink = () => y.slice(int(0, y.length)).map((sizes) => pick(sizes, sizes, ones(sizes)));
  const [a, b] = pick([y, shrink()], [shrink(), y], [y.map((sizes, d) => (d % 2 ? sizes : ones(sizes))), shrink()]);
  return [a.flat(), b.flat()];
}

/** Some of the images [N, H, W, C], and of their rows and columns. */
export function drawCut([batch, height, width]: Shape): Cut {
  const [n, row, column] = [batch, height, width].map((size) => int(0, size - 1));
  return {
    first: (n * height + row) * width + column,
    images: int(1, batch - n),
    rows: int(1, height - row),
    columns: int(1, width - column),
  };
}

/** What float32 has besides plain numbers: bits of both infinities and of NaN; then of zeros, denormals and extremes. */
const NOT_FINITE = [0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000];
const FINITE = [0, 0x80000000, 1, 0x80000001, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff];

/** A random tensor of integers, of which many are equal. */
export function tiedTensor(shape: Shape): Tensor {
  const { data } = randomTensor(shape);
  return { shape, data: data.map((v) => Math.round(v)) };
}

/** A random tensor with special values strewn in: one in three. */
export const specialTensor = (shape: Shape): Tensor => strew(shape, 0.3, [...NOT_FINITE, ...FINITE]);

/** A random tensor with an infinity or NaN strewn in: one in fifty. */
export const nonFiniteTensor = (shape: Shape): Tensor => strew(shape, 0.02, NOT_FINITE);

function strew(shape: Shape, share: number, choices: readonly number[]): Tensor {
  const { data } = randomTensor(shape);
  const bits = new Uint32Array(data.buffer);
  for (let i = 0; i < bits.length; i++) if (random() < share) bits[i] = pick(...choices);
  return { shape, data };
}

/** A kernel, or any function of values and options. */
// biome-ignore lint/suspicious/noExplicitAny: the arguments differ
export type Operator = (...args: any[]) => Value;

type Inputs = Readonly<Record<string, Tensor | undefined>>;

/** How far a value of the output may be from the reference's. */
export type Tolerance = (want: number, index: number) => number;

/** `count` units in the last place of a float32. */
export const ulps =
  (count: number): Tolerance =>
  (want) =>
    count * 2 ** -23 * Math.abs(want);

/** As many, and 2 |log y| more, which WGSL allows of y = exp(x). */
export const ulpsOfExponential =
  (count: number): Tolerance =>
  (want, index) =>
    ulps(count + 2 * Math.abs(Math.log(Math.max(Math.abs(want), 2 ** -126))))(want, index);

/**
 * The classical bound of a sum: k 2^-24 times the sum of its terms' magnitudes, which is what the reference gives for
 * inputs that make every term positive.
 */
export function sumBound(kernel: AnyKernel, positive: Inputs, options: object, k: number): Tolerance {
  const { activation, ...others } = completeOptions(kernel, options) as { activation?: Activation };
  if (activation === undefined) {
    const sums = evaluateReference(kernel, positive, options).data;
    return (_want, i) => k * 2 ** -24 * sums[i];
  }
  const sums = evaluateReference(kernel, positive, { ...others, activation: "none" }).data;
  return (_want, i) => errorBehind(activation, k * 2 ** -24 * sums[i]);
}

/** The same tensors without their signs. */
export const magnitudes = <T extends Inputs>(inputs: T): T =>
  Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, t && { ...t, data: t.data.map(Math.abs) }])) as T;

const { variants: trainingVariants } = await tableFor();
const variants: Variants = { ...inferenceVariants, ...trainingVariants };

/** The variants that were run, as "kernel/variant". */
const taken = new Set<string>();

/** Runs a kernel by itself, and as every wanted variant that takes the call. By the names of kernel and variants. */
async function runEveryWay(
  gpu: Gpu,
  kernel: AnyKernel,
  inputs: Inputs,
  options: object,
  isWanted: (variant: string) => boolean = () => true,
): Promise<Map<string, Tensor>> {
  const names = kernel.inputs[0].endsWith("...") ? Object.keys(inputs) : kernel.inputs.map((n) => n.replace("?", ""));
  const present = Object.fromEntries(Object.entries(inputs).flatMap(([name, t]) => (t ? [[name, t]] : [])));
  const plain = await gpu.eager(kernel, ...names.map((name) => inputs[name]), options);
  const results = new Map([[kernel.name, plain]]);
  for (const { name: variant } of variants[kernel.name] ?? []) {
    if (!isWanted(variant)) continue;
    const graph = new Graph();
    const values = names.map((name, i) => {
      const { shape } = inputs[name] ?? {};
      if (!shape || i === 0) return shape && inNhwc(graph.input(name, shape));
      const value = graph.param(name, shape);
      return formatShape(shape) === formatShape(plain.shape) ? inNhwc(value) : value;
    });
    graph.name("y", kernel(...values, options));
    try {
      const { traits, limits } = gpu;
      const target = { traits, limits, variants: { ...gpu.variants, ...trainingVariants } };
      const plan = compile(graph, ["y"], target, { passes: [], variants: { [kernel.name]: variant } });
      const { y } = await runPlan(gpu, plan, present);
      results.set(variant, y);
      taken.add(`${kernel.name}/${variant}`);
    } catch (error) {
      if (!/ cannot be run as asked for: /.test(`${error}`)) throw error;
    }
  }
  return results;
}

/** An image as it comes from a kernel that leaves it in NHWC; other values as they are. */
export const inNhwc = (x: Value): Value => (x.shape.length === 4 ? asNchw(toNhwc(x), x.shape[1]) : x);

/** Adds a test that the tests before it have run every variant of a kernel, but those with a test file of their own. */
export function testVariants(gpu: Gpu, kernel: AnyKernel, elsewhere: readonly string[] = []): void {
  for (const { name } of variants[kernel.name] ?? []) {
    if (elsewhere.includes(name)) continue;
    test(`the variant ${name} was tested`, () => {
      const { subgroupSize } = gpu.traits;
      const isForOthers = subgroupSize === 0 || (name.endsWith("_broadcast") && subgroupSize !== 4);
      assert.ok(isForOthers || taken.has(`${kernel.name}/${name}`), "no call was one for it");
    });
  }
}

/**
 * Runs a kernel and its variants and compares them with its float64 reference. A number as tolerance is the k of
 * sumBound() on the magnitudes of the inputs; `variants` has the tolerances of those that need another, or false for
 * those that are not to be run.
 */
export async function checkKernel(
  gpu: Gpu,
  kernel: AnyKernel,
  inputs: Inputs,
  options: object = {},
  tolerance: number | Tolerance = 8,
  variants: Readonly<Record<string, Tolerance | false>> = {},
): Promise<void> {
  const want = evaluateReference(kernel, inputs, options);
  const bounded = typeof tolerance === "number" ? sumBound(kernel, magnitudes(inputs), options, tolerance) : tolerance;
  const results = await runEveryWay(gpu, kernel, inputs, options, (name) => variants[name] !== false);
  for (const [name, got] of results) {
    const bound = variants[name] || bounded;
    assertClose(got, want, bound, `${name} of ${describe(inputs)} with ${JSON.stringify(options)}`);
  }
}

/** Like checkKernel, but bit by bit: see sameBits. */
export async function checkBits(gpu: Gpu, kernel: AnyKernel, inputs: Inputs, options: object = {}): Promise<void> {
  const want = evaluateReference(kernel, inputs, options);
  for (const [name, got] of await runEveryWay(gpu, kernel, inputs, options)) {
    sameBits(got, want, `${name} of ${describe(inputs)} with ${JSON.stringify(options)}`);
  }
}

/** What a reference gives: a tensor of float64, or of less. */
export interface Wanted {
  readonly shape: Shape;
  readonly data: Float64Array | Float32Array;
}

export function assertClose(got: Tensor, want: Wanted, tolerance: Tolerance, what = "the result"): void {
  assert.equal(got.shape, want.shape, `${what}: shape`);
  want.data.forEach((value, i) => {
    const bound = tolerance(value, i);
    if (isClose(got.data[i], value, bound)) return;
    assert.unreachable(`${what}: y[${i}] is ${show(got.data[i])}, wanted ${show(value)} within ${bound}`);
  });
}

/** Checks a kernel of y[i] = f(x[i]) on tensors of any shape, from tiny values to large ones. */
export async function checkElementwise(
  gpu: Gpu,
  kernel: AnyKernel,
  tolerance: Tolerance,
  drawOptions: () => object = () => ({}),
): Promise<void> {
  for (let i = 0; i < rounds(40, 12); i++) {
    const x = randomTensor(drawShape(i), pick(1e-3, 0.4, 2, 8, 30));
    await checkKernel(gpu, kernel, { x }, drawOptions(), tolerance);
  }
}

/** Runs a kernel on one row of values and compares it with what is wanted, bit by bit. */
export const checkRow = async (
  gpu: Gpu,
  op: Operator,
  x: readonly number[],
  y: readonly number[],
  options: object = {},
): Promise<void> => sameBits(await gpu.eager(op, tensor([x.length], x), options), tensor([y.length], y));

/**
 * What is linear in x, y = A x, has gradients dx = A^T dy: the sums of the products of y and dy, and of x and dx, are one. In
 * float64, by references.
 */
export function assertAdjoint([y, dy]: readonly [Wanted, Wanted], [x, dx]: readonly [Wanted, Wanted]): void {
  assert.equal([dy.shape, dx.shape], [y.shape, x.shape]);
  const products = (a: Wanted, b: Wanted) => Array.from(a.data, (v, i) => v * b.data[i]);
  const [forward, backward] = [products(y, dy), products(x, dx)];
  const total = (terms: readonly number[]) => terms.reduce((sum, v) => sum + v, 0);
  const size = total([...forward, ...backward].map(Math.abs));
  const off = Math.abs(total(forward) - total(backward));
  assert.ok(off <= 1e-9 * size, `${total(forward)} and ${total(backward)}, of ${size}`);
}

/** Denormals may be flushed to zero. */
const TINY = 2 ** -126;

const isClose = (got: number, want: number, bound: number): boolean =>
  Number.isFinite(Math.fround(want)) ? Math.abs(got - want) <= bound + TINY : Object.is(got, Math.fround(want));

/** Compares bit by bit; only that any NaN stands for any other, and a denormal may have become a zero. */
export function sameBits(got: Tensor, want: Wanted, what = "the result"): void {
  assert.equal(got.shape, want.shape, `${what}: shape`);
  for (let i = 0; i < got.data.length; i++) {
    const flushed = got.data[i] === 0 && Math.abs(want.data[i]) < TINY && want.data[i] !== 0;
    if (Object.is(got.data[i], want.data[i]) || flushed) continue;
    assert.unreachable(`${what}: y[${i}] is ${show(got.data[i])}, wanted ${show(want.data[i])}`);
  }
}

const show = (value: number): string => (Object.is(value, -0) ? "-0" : String(value));

const describe = (inputs: Inputs): string =>
  Object.entries(inputs)
    .flatMap(([name, t]) => (t ? [`${name} ${formatShape(t.shape)}`] : []))
    .join(", ");

/** Adds an operator to a graph by the shapes of its inputs alone; undefined stands for one that is left out. */
export function apply(op: Operator, shapes: readonly (Shape | undefined)[], options: object = {}): Value {
  const graph = new Graph();
  return op(...shapes.map((shape, i) => shape && graph.input(`input ${i}`, shape)), options);
}

/**
 * A random net whose values are read once, more often or never: convolutions, normalizations, sums with and without
 * broadcasting, activations, poolings. Returns its graph and the names of some values, the last among them.
 */
export function randomNet(layers: number): { graph: Graph; outputs: string[] } {
  const graph = new Graph();
  const values = [graph.input("x", [pick(1, 2, 3), pick(3, 4), int(3, 9), int(3, 9)])];
  for (let i = 0; i < layers; i++) {
    // Mostly the newest value, so that there are chains to fuse.
    const x = random() < 0.8 ? values[values.length - 1] : pick(...values);
    const name = `layer${i}`;
    const sameShape = values.filter((value) => formatShape(value.shape) === formatShape(x.shape));
    const perChannel = () => graph.param(`${name}.bias`, pick([x.shape[1], 1, 1], [1, x.shape[1], 1, 1]));
    const layer = {
      conv: () =>
        convLayer(name, x, pick(3, 4, 4, 8), 3, { padding: 1, bias: pick(true, false), relu: random() < 0.2 }),
      norm: () => batchNormLayer(name, x),
      relu: () => named(name, relu(x)),
      add: () => named(name, add(x, pick(...sameShape), { alpha: pick(1, 1, -1), relu: random() < 0.2 })),
      bias: () => named(name, random() < 0.5 ? add(x, perChannel()) : add(perChannel(), x)),
      join: () => named(name, concat(x, pick(...sameShape))),
      pool: () => named(name, pick(avgPool2d, maxPool2d)(x, { kernel: 3, stride: 1, padding: 1 })),
    }[pick("conv", "conv", "norm", "norm", "relu", "add", "add", "bias", "join", "pool")];
    values.push(layer());
  }
  const names = values.slice(1, -1).map((_, i) => `layer${i}`);
  return { graph, outputs: [`layer${layers - 1}`, ...names.filter(() => random() < 0.15)] };
}

/** Random values for all that a graph reads, by name; variances are positive. */
export function randomTensors(graph: Graph): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {};
  for (const node of graph.nodes) {
    if (node.kind !== "input" && node.kind !== "param") continue;
    const { shape, data } = randomTensor(node.shape);
    tensors[node.name] = { shape, data: /var/.test(node.name) ? data.map((v) => Math.abs(v) + 0.1) : data };
  }
  return tensors;
}

/** Names of a graph's kernels, in order. */
export const kernelsOf = (graph: Graph): string[] =>
  graph.nodes.flatMap((node) => (node.kind === "op" ? [node.kernel.name] : []));

/** Asserts that a rewritten graph has the outputs of the graph, both by the references of their kernels. */
export function assertRewritten(rewritten: Graph, graph: Graph, outputs: readonly string[]): void {
  const tensors = randomTensors(graph);
  const values = evaluateGraph(rewritten, tensors);
  const got = Object.fromEntries(outputs.map((name) => [name, values[rewritten.names.get(name) as number]]));
  assertOutputs(got, graph, outputs, tensors);
}

/** Every value of a graph by the references of its kernels, each rounded to float32. */
export function evaluateGraph(graph: Graph, tensors: Readonly<Record<string, Tensor>>): Tensor[] {
  const values: Tensor[] = [];
  for (const node of graph.nodes) {
    const { shape } = node;
    if (node.kind === "view") values.push({ shape, data: values[node.x].data });
    else if (node.kind === "op") {
      const inputs = Object.fromEntries(Object.entries(node.inputs).map(([name, id]) => [name, values[id]]));
      values.push({ shape, data: Float32Array.from(evaluateReference(node.kernel, inputs, node.options).data) });
    } else if (node.kind === "param" && node.from) {
      values.push({ shape, data: node.from.compute(...node.from.sources.map((name) => tensors[name].data)) });
    } else values.push({ shape, data: tensors[node.name].data });
  }
  return values;
}

/** Runs a plan once on its inputs and parameters, given by name. */
export async function runPlan(
  gpu: Gpu,
  plan: Plan,
  tensors: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  return withModel(gpu, new Graph(), tensors, async (model) => {
    const inputs = Object.fromEntries(plan.inputs.map(({ name }) => [name, tensors[name].data]));
    return (await model.prepare(plan)).run(inputs);
  });
}

/** A net that runs in a moment. */
export const small: NetDefinition = {
  ...imagenet,
  name: "small",
  options: { inChannels: 3, numClasses: 7 },
  imageSize: [12, 12],
  weights: {},
  build(x, { numClasses }) {
    const y = named("relu", relu(convLayer("conv", x, 8, 3)));
    return linearLayer("fc", flatten(maxPool2d(y, { kernel: 2 })), numClasses);
  },
};

/** Loads a net for a test, and asserts afterwards that it left nothing on the GPU. */
export async function withNet(
  gpu: Gpu,
  net: string | AnyNet,
  options: Parameters<Gpu["loadNet"]>[1],
  use: (net: Net) => Promise<void> | void,
): Promise<void> {
  await idle();
  const before = { ...gpu.alive };
  const loaded = await gpu.loadNet(net, options);
  try {
    await use(loaded);
  } finally {
    loaded.dispose();
  }
  await idle();
  assert.equal(gpu.alive, before, "the net left something on the GPU");
}

/** Asserts that outputs are those of a graph, up to the rounding of a few layers. */
export function assertOutputs(
  got: Readonly<Record<string, Tensor>>,
  graph: Graph,
  outputs: readonly string[],
  tensors: Readonly<Record<string, Tensor>>,
): void {
  const values = evaluateGraph(graph, tensors);
  const largest = ({ data }: Tensor) => data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  // What is left where values cancel is their rounding.
  const rounding = 16 * 2 ** -24 * Math.max(...values.map(largest));
  for (const name of outputs) {
    const want = values[graph.names.get(name) as number];
    const tolerance = Math.max(2e-5 * largest(want), rounding);
    assertClose(got[name], want, () => tolerance, name);
  }
}

/** Asserts on the class, the code and the message of what is thrown, at once or later. */
export async function refuses(
  work: () => unknown,
  // biome-ignore lint/suspicious/noExplicitAny: the classes of errors are made from different arguments
  kind: new (...args: any[]) => ShadenetError,
  code: string,
  message: RegExp,
): Promise<void> {
  const error = await Promise.resolve()
    .then(work)
    .then(
      () => assert.unreachable(`nothing was thrown; wanted a ${kind.name} like ${message}`),
      (reason) => reason,
    );
  assert.is(error.constructor.name, kind.name, `${error}`);
  assert.is(error.code, code);
  assert.ok(message.test(error.message), `the message is "${error.message}"; wanted one like ${message}`);
}

/** Adds a test for every golden case of these operators. */
export async function testGoldens(gpu: Gpu, ...ops: string[]): Promise<void> {
  const file = await openCases();
  const cases = file.cases.filter(({ op }) => ops.includes(op));
  test(`there are golden cases of ${ops.join(", ")}`, () => assert.ok(cases.length > 0));
  for (const item of cases) {
    test(`golden case ${item.id}`, async () => {
      const { status, message } = await runCase(gpu, item, file);
      assert.is(status, "pass", message);
    });
  }
}
