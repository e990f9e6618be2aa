import type { AnyNet } from "../../engine/definition.ts";
import type { Gpu } from "../../engine/gpu.ts";
import { differentiate } from "../../engine/graph/gradients.ts";
import { Graph } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import type { Shape, Tensor } from "../../engine/ground/tensor.ts";
import { runOnce } from "../../engine/model.ts";
import type { Net } from "../../engine/net.ts";
import type { Checkpoint } from "../../engine/weights/checkpoint.ts";
import { loadGradients } from "../../kernels/gradients.ts";
import * as kernels from "../../kernels/index.ts";
import { crossEntropy } from "../../kernels/loss/cross_entropy.ts";
import { batchNormTrain } from "../../kernels/norm/batchnorm_train.ts";
import { nets } from "../../nets/index.ts";
import { generatedCheckpoint, generatedInput, type NetsFile } from "../../tools/hashinit.ts";

const gradients = await loadGradients();

// Runs the reference outputs of tests/goldens/, or any file of their formats, against the kernels and nets; in Node and
// in browsers.

type Tolerance =
  | { readonly kind: "exact" }
  | { readonly kind: "bound"; readonly bound: string; readonly k: number }
  | { readonly kind: "ulp"; readonly ulp: number; readonly atol: number };

// biome-ignore lint/suspicious/noExplicitAny: attributes differ from operator to operator
type Attributes = Readonly<Record<string, any>>;

export interface Case {
  readonly id: string;
  readonly op: string;
  readonly attrs: Attributes;
  readonly inputs: readonly { readonly name: string; readonly tensor: string; readonly shape: Shape }[];
  readonly output: { readonly tensor: string; readonly shape: Shape };
  readonly tol: Tolerance;
}

export interface CaseResult {
  readonly id: string;
  readonly op: string;
  readonly status: "pass" | "fail" | "skip";
  /** For tolerances of kind "bound": the largest error in units of the bound. */
  readonly k?: number;
  readonly message?: string;
}

/** A tensor of a file. */
interface Stored {
  readonly tensor: string;
  readonly shape: Shape;
}

/** The gradients of an operator by its inputs, from that by its output. */
export interface GradientCase {
  readonly id: string;
  readonly op: string;
  readonly attrs: Attributes;
  readonly inputs: readonly (Stored & { readonly name: string })[];
  readonly dy: Stored;
  /** By inputs; the error over the rms is to be within the limit. */
  readonly grads: readonly (Stored & { readonly name: string; readonly rms: number; readonly limit: number })[];
}

export interface GradientResult {
  readonly id: string;
  readonly op: string;
  /** Of the input. */
  readonly name: string;
  readonly status: "pass" | "fail";
  /** The largest error over the rms; where that is 0, the error itself, which is to be 0. */
  readonly err?: number;
  readonly limit: number;
  readonly message?: string;
}

export interface NetResult {
  readonly net: string;
  readonly errOverRms?: number;
  readonly limit: number;
  readonly status: "pass" | "fail" | "skip";
  readonly message?: string;
}

type Inputs = Readonly<Record<string, Value>>;

const poolOptions = (a: Attributes) => ({
  kernel: a.kernel,
  stride: a.stride,
  padding: a.padding,
  ceilMode: a.ceil_mode,
});

const convolution = ({ x, w, b }: Inputs, a: Attributes): Value =>
  kernels.conv2d(x, w, b, { stride: a.stride, dilation: a.dilation, groups: a.groups, padding: a.pads_tlbr });

/** PyTorch's operators and attributes in ours. */
const OPERATORS: Readonly<Record<string, (inputs: Inputs, attributes: Attributes) => Value>> = {
  adaptive_avg_pool2d: ({ x }, a) => kernels.adaptiveAvgPool2d(x, { outputSize: a.output_size }),
  add: ({ a, b }) => kernels.add(a, b),
  add_relu: ({ a, b }) => kernels.relu(kernels.add(a, b)),
  avg_pool2d: ({ x }, a) =>
    kernels.avgPool2d(x, {
      ...poolOptions(a),
      countIncludePad: a.count_include_pad,
      divisorOverride: a.divisor_override,
    }),
  batch_norm: ({ x, mean, var: variance, weight, bias }, a) =>
    kernels.batchNorm(x, mean, variance, weight, bias, { eps: a.eps }),
  batch_norm_train: ({ x, weight, bias }, a) => batchNormTrain(x, weight, bias, { eps: a.eps }).y,
  channel_shuffle: ({ x }, a) => kernels.channelShuffle(x, { groups: a.groups }),
  clamp: ({ x }, a) => kernels.clamp(x, { low: a.min ?? -Infinity, high: a.max ?? Infinity }),
  concat: (inputs, a) => kernels.concat(...Object.values(inputs), { dim: a.dim }),
  conv2d: convolution,
  cross_entropy: ({ x, labels, weight }, a) => crossEntropy(x, labels, weight, { labelSmoothing: a.label_smoothing }),
  conv_bn_act: ({ x, w, mean, var: variance, weight, bias, r }, a) => {
    const y = kernels.batchNorm(kernels.conv2d(x, w, { padding: a.padding }), mean, variance, weight, bias, {
      eps: a.eps,
    });
    const sum = a.residual_add ? kernels.add(y, r) : y;
    return a.relu ? kernels.relu(sum) : sum;
  },
  depthwise_conv2d: convolution,
  flatten: ({ x }, a) => kernels.flatten(x, { startDim: a.start_dim }),
  gather: ({ x, indices }, a) => kernels.gather(x, indices, { dim: a.dim }),
  gelu: ({ x }) => kernels.gelu(x),
  hardsigmoid: ({ x }) => kernels.hardSigmoid(x),
  hardswish: ({ x }) => kernels.hardSwish(x),
  layer_norm: ({ x, weight, bias }, a) =>
    kernels.layerNorm(x, weight, bias, { normalizedShape: a.normalized_shape, eps: a.eps }),
  leaky_relu: ({ x }, a) => kernels.leakyRelu(x, { negativeSlope: a.negative_slope ?? 0.01 }),
  linear: ({ x, w, b }) => kernels.linear(x, w, b),
  local_response_norm: ({ x }, { size, alpha, beta, k }) => kernels.lrn(x, { size, alpha, beta, k }),
  log_softmax: ({ x }, a) => kernels.softmax(x, { dim: a.dim, log: true }),
  matmul: ({ a, b }) => kernels.matmul(a, b),
  max_pool2d: ({ x }, a) => kernels.maxPool2d(x, { ...poolOptions(a), dilation: a.dilation }),
  mean: ({ x }, a) => kernels.mean(x, { dims: a.dims, keepDim: a.keepdim }),
  mul: ({ a, b }) => kernels.mul(a, b),
  pad: ({ x }, a) => {
    const [left, right, top, bottom] = a.pads_lrtb;
    return kernels.pad(x, { padding: [top, left, bottom, right], value: a.value });
  },
  permute: ({ x }, a) => kernels.permute(x, { dims: a.dims }),
  relu: ({ x }) => kernels.relu(x),
  relu6: ({ x }) => kernels.relu6(x),
  reshape: ({ x }, a) => kernels.reshape(x, { shape: a.shape }),
  roll: ({ x }, a) => kernels.roll(x, { shifts: a.shifts, dims: a.dims }),
  sigmoid: ({ x }) => kernels.sigmoid(x),
  silu: ({ x }) => kernels.silu(x),
  slice: ({ x }, a) => kernels.slice(x, { dim: a.dim, start: a.start, end: a.end ?? Infinity, step: a.step }),
  softmax: ({ x }, a) => kernels.softmax(x, { dim: a.dim }),
  sub: ({ a, b }) => kernels.sub(a, b),
  tanh: ({ x }) => kernels.tanh(x),
};

/** A file of operator cases with its tensors. */
export interface CasesFile {
  readonly cases: readonly Case[];
  readonly tensors: Checkpoint;
}

/** Runs one case of a file through the passes that a net goes through. */
export async function runCase(gpu: Gpu, test: Case, { tensors }: CasesFile): Promise<CaseResult> {
  const { id, op } = test;
  const operator = OPERATORS[op];
  if (!operator) return { id, op, status: "skip", message: `there is no operator ${op}` };
  try {
    const inputs: Record<string, Tensor> = {};
    for (const { name, tensor, shape } of test.inputs) inputs[name] = { shape, data: await tensors.read(tensor) };
    const got = await runOperator(gpu, (values) => operator(values, test.attrs), inputs);
    const wanted = await tensors.read(test.output.tensor);
    if (String(got.shape) !== String(test.output.shape)) {
      return { id, op, status: "fail", message: `shape [${got.shape}], wanted [${test.output.shape}]` };
    }
    const bound = test.tol.kind === "bound" ? await tensors.read(test.tol.bound) : undefined;
    return { id, op, ...compare(got.data, wanted, test.tol, bound) };
  } catch (error) {
    return { id, op, status: "fail", message: (error as Error).message };
  }
}

/** A file of cases of gradients with its tensors. */
export interface GradientsFile {
  readonly cases: readonly GradientCase[];
  readonly tensors: Checkpoint;
}

/** Runs one case of gradients; a result for each of them, whatever happens. */
export async function runGradients(
  gpu: Gpu,
  test: GradientCase,
  { tensors }: GradientsFile,
): Promise<GradientResult[]> {
  const { id, op, grads } = test;
  const resultOf = async (
    of: (grad: GradientCase["grads"][number]) => Promise<Pick<GradientResult, "err" | "message">>,
  ) =>
    Promise.all(
      grads.map(async (grad): Promise<GradientResult> => {
        const found = await of(grad);
        return { id, op, name: grad.name, status: found.message ? "fail" : "pass", limit: grad.limit, ...found };
      }),
    );
  try {
    const read = async ({ tensor, shape }: Stored): Promise<Tensor> => ({ shape, data: await tensors.read(tensor) });
    const graph = new Graph();
    const inputs: Record<string, Tensor> = { dy: await read(test.dy) };
    const values: Record<string, Value> = {};
    for (const input of test.inputs) {
      inputs[input.name] = await read(input);
      values[input.name] = graph.input(input.name, input.shape);
    }
    if (!OPERATORS[op]) throw new Error(`there is no operator ${op}`);
    const { labels }: { labels?: number[] } = test.attrs;
    if (labels) {
      inputs.labels = { shape: [labels.length], data: Float32Array.from(labels) };
      values.labels = graph.input("labels", [labels.length]);
    }
    const y = OPERATORS[op](values, test.attrs);
    const wanted = grads.map(({ name }) => values[name]);
    differentiate([[y, graph.input("dy", test.dy.shape)]], wanted, gradients).forEach((gradient, i) => {
      if (!gradient) throw new Error(`y does not depend on ${grads[i].name}`);
      graph.name(grads[i].name, gradient);
    });
    const got = await runOnce(
      gpu,
      graph,
      inputs,
      grads.map(({ name }) => name),
    );
    return await resultOf(async (grad) => {
      const err = largestError(got[grad.name].data, await tensors.read(grad.tensor)) / (grad.rms || 1);
      const isRight = err <= (grad.rms && grad.limit);
      return { err, ...(isRight ? {} : { message: `error over rms is ${err}, limit ${grad.limit}` }) };
    });
  } catch (error) {
    return resultOf(async () => ({ message: (error as Error).message }));
  }
}

/** The first input is an input, the others are parameters, so that passes may fold them. */
async function runOperator(gpu: Gpu, build: (values: Inputs) => Value, inputs: Readonly<Record<string, Tensor>>) {
  const graph = new Graph();
  const entries = Object.entries(inputs);
  const values = entries.map(([name, { shape }], i) => [
    name,
    i === 0 ? graph.input(name, shape) : graph.param(name, shape),
  ]);
  graph.name("output", build(Object.fromEntries(values)));
  return (await runOnce(gpu, graph, inputs, ["output"])).output;
}

const SMALLEST_NORMAL = 2 ** -126;

function compare(
  got: Float32Array,
  wanted: Float32Array,
  tolerance: Tolerance,
  bound: Float32Array | undefined,
): Pick<CaseResult, "status" | "k" | "message"> {
  let k = 0;
  let worst = "";
  for (let i = 0; i < wanted.length; i++) {
    const [a, b] = [got[i], wanted[i]];
    if (Object.is(a, b) || a === b || (Number.isNaN(a) && Number.isNaN(b))) continue;
    if (a === 0 && Math.abs(b) < SMALLEST_NORMAL) continue;
    const error = Math.abs(a - b);
    let ok = false;
    if (bound && tolerance.kind === "bound") {
      const used = error / bound[i];
      ok = used <= tolerance.k;
      // Not Math.max, which would keep a NaN for good but lose its place.
      if (!(used <= k)) k = used;
    } else if (tolerance.kind === "ulp") {
      ok = error <= tolerance.ulp * spacing(b) + tolerance.atol;
    }
    if (!ok && !worst) worst = `element ${i} is ${a}, wanted ${b} (${describe(tolerance)})`;
  }
  return { status: worst ? "fail" : "pass", ...(bound ? { k } : {}), ...(worst ? { message: worst } : {}) };
}

const describe = (tolerance: Tolerance): string =>
  tolerance.kind === "exact"
    ? "to the bit"
    : tolerance.kind === "bound"
      ? `within ${tolerance.k} times its bound`
      : `within ${tolerance.ulp} ulp + ${tolerance.atol}`;

/** Distance from a float32 to the next larger one. */
const spacing = (v: number): number => 2 ** (Math.max(Math.floor(Math.log2(Math.abs(v))), -126) - 23);

/** A net is asked to come within 5 times PyTorch's own float32 error, but never below 5e-6 of the logits' rms. */
const limitOf = (torch: number): number => Math.max(5 * torch, 5e-6);

/** Loads the net of a record on its generated weights, and disposes of it after its use. */
async function withRecord<T>(
  gpu: Gpu,
  file: NetsFile,
  key: string,
  definition: AnyNet,
  options: object,
  use: (net: Net) => Promise<T>,
) {
  const { input_shape: shape, options: own } = file.nets[key];
  const [batch, , ...imageSize] = shape;
  const weights = generatedCheckpoint(file, key);
  const net = await gpu.loadNet(definition, { weights, batch, imageSize: imageSize as never, ...own, ...options });
  try {
    return await use(net);
  } finally {
    net.dispose();
  }
}

/** The net of a record, if it is one of ours. */
const netOf = (file: NetsFile, key: string): AnyNet => nets[file.nets[key].net ?? key];

/** Runs one net on generated weights and compares its logits with the float64 ones. */
export async function runNet(
  gpu: Gpu,
  file: NetsFile,
  key: string,
  options: object = {},
  definition = netOf(file, key),
): Promise<NetResult> {
  const record = file.nets[key];
  const limit = limitOf(record.torch_f32_max_err_over_rms);
  if (!definition) return { net: key, limit, status: "skip", message: `there is no net ${record.net}` };
  try {
    const { logits } = await withRecord(gpu, file, key, definition, options, (net) =>
      net.run(generatedInput(file, key)),
    );
    const errOverRms = largestError(logits.data, record.logits_f64) / record.logits_rms;
    if (errOverRms <= limit) return { net: key, errOverRms, limit, status: "pass" };
    return { net: key, errOverRms, limit, status: "fail", message: `error over rms is ${errOverRms}` };
  } catch (error) {
    return { net: key, limit, status: "fail", message: (error as Error).message };
  }
}

/** Largest error of every stage's samples over the stage's rms, beside its limit. */
export async function runStages(
  gpu: Gpu,
  file: NetsFile,
  key: string,
  definition = netOf(file, key),
): Promise<{ stage: string; errOverRms: number; limit: number }[]> {
  const { stages } = file.nets[key];
  // A stage without a name is the whole net.
  const names = stages.map(({ stage }) => stage || "logits");
  const input = generatedInput(file, key);
  const { features } = await withRecord(gpu, file, key, definition, {}, (net) => net.run(input, { features: names }));
  return stages.map(({ stage: given, shape, samples, rms, torch_f32_err_over_rms: torch }) => {
    const stage = given || "logits";
    const { shape: got, data } = features[stage];
    if (String(got) !== String(shape)) throw new Error(`${stage} is [${got}], wanted [${shape}]`);
    const values = samples.map(([index]) => data[index]);
    const wanted = samples.map(([, value]) => value);
    return { stage, errOverRms: largestError(values, wanted) / rms, limit: limitOf(torch) };
  });
}

/** NaN where either has one. */
function largestError(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) largest = Math.max(largest, Math.abs(got[i] - wanted[i]));
  return largest;
}
