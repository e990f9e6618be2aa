import {
  type AnyNet,
  type Given,
  inputShape,
  type NetOptions,
  type Nets,
  netOptions,
  openFitting,
  trace,
  traceNet,
} from "../definition.ts";
import type { Device, DeviceOptions } from "../device/device.ts";
import { type Graph, paramShapes } from "../graph/graph.ts";
import type { Plan } from "../graph/plan.ts";
import type { LoadTraining, Optimizer, TrainingTable } from "../graph/training.ts";
import { check, DisposedError, GpuError, ShapeError, show, UsageError } from "../ground/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../ground/tensor.ts";
import { takeElements } from "../image/batch.ts";
import { Model } from "../model.ts";
import type { Checkpoint } from "../weights/checkpoint.ts";
import { type Arena, arenaName } from "./arena.ts";
import { compileForward, compileStep, type TrainingStep, traceTraining } from "./graph.ts";
import { initialWeights, pcg } from "./initial.ts";

/** How weights are changed: the optimizer's name, its learning rate, and its own options, which are PyTorch's. */
export interface OptimizerOptions {
  /** One of the names in kernels/training/table.ts. */
  readonly name: string;
  /** The learning rate: a number, or one for every step, counted from 0. */
  readonly lr: number | ((step: number) => number);
  readonly [option: string]: unknown;
}

export interface TrainOptions {
  readonly optimizer: OptimizerOptions;
  readonly loss?: { readonly labelSmoothing?: number };
  /** Which parameters are trained, by their names; all by default. Batch norms of the others stay as they are. */
  readonly trainable?: RegExp | ((name: string) => boolean);
  /** Whether the net's dropout layers drop anything; they do by default. */
  readonly dropout?: boolean;
  /** What is drawn at random begins with it; 0 by default. */
  readonly seed?: number;
}

/** What a Gpu is to a trainer. */
export interface TrainingDevice extends Device {
  readonly nets: Nets;
  readonly options: DeviceOptions & { readonly training?: LoadTraining };
}

/** What a step of training tells. */
export interface StepResult {
  /** How many steps there were, with this one. */
  readonly step: number;
  /** The mean of the batch. */
  readonly loss: number;
  /** The share of the batch whose most probable class was the right one, before the step. */
  readonly accuracy: number;
}

/** What comes before the names of tensors, by the kind of arena; the optimizer's have its name for them. */
const PREFIXES: Readonly<Record<string, string>> = { weights: "", statistics: "", gradients: "gradient." };

/** A net whose weights are being trained on the GPU. Ends with dispose(); its GPU stays open. */
export class Trainer {
  readonly definition: AnyNet;
  /** [N, C, H, W] of a batch. */
  readonly inputShape: Shape;
  /** Parameters that were to be trained, but that the loss does not depend on. */
  readonly unused: readonly string[];
  readonly numClasses: number;
  readonly #model: Model;
  readonly #plan: TrainingStep;
  readonly #forward: Plan;
  readonly #optimizer: Optimizer;
  readonly #rate: (step: number) => number;
  readonly #seed: number;
  #steps = 0;
  /** Keeps what is asked for in order. */
  #queue: Promise<unknown> = Promise.resolve();
  #disposed = false;

  /** See Gpu.train(). */
  static async load(gpu: TrainingDevice, definition: AnyNet, options: TrainOptions & Given): Promise<Trainer> {
    const { training } = gpu.options;
    if (!training) throw new UsageError('openGpu() was given no gradients: pass its option "training"');
    const { training: table } = await training();
    const { optimizer, loss = {}, trainable = /^/, dropout = true, seed = 0, ...given } = options;
    const chosen = optimizerOf(optimizer, table);
    const isTrainable = trainable instanceof RegExp || typeof trainable === "function";
    check(isTrainable, "trainable", trainable, "a RegExp or a function of a name");
    const trains = trainable instanceof RegExp ? (name: string) => trainable.test(name) : trainable;
    check(Number.isSafeInteger(seed), "seed", seed, "an integer");
    if (given.dtype === "f16") throw new UsageError('nets are trained in f32: leave out dtype: "f16"');
    const graph = trace(definition, given);
    await gpu.ready(graph);
    const retrace = (empty: Graph) =>
      traceNet(definition, inputShape(definition, given), netOptions<NetOptions>(definition, given), empty);
    const step = compileStep(traceTraining(retrace, dropout, table), trains, chosen, loss, table, gpu);
    const forward = compileForward(graph, step, gpu);
    const first =
      given.weights === undefined
        ? initialWeights(graph, seed)
        : await openFitting(definition, paramShapes(graph), given, gpu.host.open, gpu.nets);
    const model = await Model.load(gpu, graph, stateOf(first, step));
    try {
      await gpu.survive(() => model.prepare(step.plan));
    } catch (error) {
      await model.dispose();
      throw error;
    }
    return new Trainer(model, definition, given, step, forward, chosen, rateOf(optimizer), seed);
  }

  private constructor(
    model: Model,
    definition: AnyNet,
    given: Given,
    step: TrainingStep,
    forward: Plan,
    optimizer: Optimizer,
    rate: (step: number) => number,
    seed: number,
  ) {
    this.definition = definition;
    this.inputShape = inputShape(definition, given);
    this.numClasses = netOptions<NetOptions>(definition, given).numClasses;
    this.unused = step.unused;
    this.#model = model;
    this.#plan = step;
    this.#forward = forward;
    this.#optimizer = optimizer;
    this.#rate = rate;
    this.#seed = seed;
  }

  /** Steps that were done. */
  get steps(): number {
    return this.#steps;
  }

  /**
   * One step on a batch: images as elements in NCHW of shape inputShape, and the class of each. Throws a ShapeError or
   * UsageError for what is no batch, a GpuError (OVERFLOW) where the loss or a gradient is not finite: weights are then as they were.
   */
  step(images: Float32Array | Tensor, labels: ArrayLike<number>): Promise<StepResult> {
    const x = takeElements(images, this.inputShape).slice(0, this.inputShape[0]);
    const classes = checkLabels(labels, this.inputShape[0], this.numClasses);
    return this.#turn(async () => {
      const rate = this.#rate(this.#steps);
      check(Number.isFinite(rate), `the learning rate of step ${this.#steps + 1}`, rate, "a finite number");
      const rates = Float32Array.from(this.#optimizer.ratesOf(this.#steps + 1, rate));
      const executable = await this.#model.prepare(this.#plan.plan);
      const { loss, logits, norm } = await executable.run({
        x,
        labels: classes,
        one: Float32Array.of(1),
        rates,
        key: Float32Array.of(pcg(this.#seed ^ pcg(this.#steps)) >>> 8),
      });
      const [value] = loss.data;
      if (!Number.isFinite(value) || !Number.isFinite(norm.data[0])) {
        throw new GpuError(
          "OVERFLOW",
          `in step ${this.#steps + 1} the loss is ${value} and the gradients' norm ${Math.sqrt(norm.data[0])}: the weights are those of the step before; try a smaller learning rate, or clipNorm`,
        );
      }
      this.#steps++;
      return { step: this.#steps, loss: value, accuracy: accuracyOf(logits, classes) };
    });
  }

  /** The logits of a batch, as at inference, with the weights as they are: [N, numClasses]. */
  run(images: Float32Array | Tensor): Promise<Tensor> {
    const x = takeElements(images, this.inputShape).slice(0, this.inputShape[0]);
    return this.#turn(async () => (await (await this.#model.prepare(this.#forward)).run({ x })).logits);
  }

  /**
   * Reads what is trained from the device: parameters and statistics by their names, what the optimizer keeps of them as
   * "optimizer.m.NAME" and "optimizer.v.NAME", and if asked for the gradients of the last step as "gradient.NAME".
   */
  tensors({ gradients = false }: { readonly gradients?: boolean } = {}): Promise<Map<string, Tensor>> {
    return this.#turn(async () => {
      const { weights, statistics } = this.#plan;
      const kinds = ["weights", ...this.#optimizer.moments, ...(gradients ? ["gradients"] : [])];
      const all = [...kinds.map((kind) => [kind, weights] as const), ["statistics", statistics] as const];
      const tensors = new Map<string, Tensor>();
      for (const [kind, arenas] of all) {
        for (const [i, arena] of arenas.entries()) {
          const plan = readingPlan(arenaName(kind, i), arena.size);
          const executable = await this.#model.prepare(plan);
          const { data } = Object.values(await executable.run({}))[0];
          await this.#model.release(plan);
          for (const [name, { shape, offset }] of arena.parts) {
            tensors.set(`${PREFIXES[kind] ?? `optimizer.${kind}.`}${name}`, {
              shape,
              data: data.slice(offset, offset + sizeOf(shape)),
            });
          }
        }
      }
      return tensors;
    });
  }

  #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposed) return Promise.reject(new DisposedError("the trainer"));
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Frees what it holds on the GPU, after the steps already asked for; resolves then. Safe to call twice. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#queue;
    await this.#model.dispose();
  }
}

function optimizerOf(given: OptimizerOptions, { optimizers }: TrainingTable): Optimizer {
  check(typeof given === "object" && given !== null, "optimizer", given, "its name and learning rate, lr");
  const { name, lr, ...options } = given;
  const isKnown = typeof name === "string" && Object.hasOwn(optimizers, name);
  check(isKnown, "the optimizer's name", name, Object.keys(optimizers).join(", "));
  const isRate = typeof lr === "function" || (Number.isFinite(lr) && lr >= 0);
  check(isRate, "the optimizer's lr", lr, "a learning rate of at least 0, or a function of the step");
  return optimizers[name](options);
}

const rateOf = ({ lr }: OptimizerOptions): ((step: number) => number) => (typeof lr === "function" ? lr : () => lr);

/** Labels as the kernels take them; throws unless there is a class for each image. */
function checkLabels(labels: ArrayLike<number>, batch: number, classes: number): Float32Array {
  const { length } = Object(labels);
  if (length !== batch) throw new ShapeError(`there are ${show(length)} labels for ${batch} images`);
  return Float32Array.from({ length: batch }, (_, i) => {
    const label: unknown = labels[i];
    const isClass = Number.isInteger(label) && (label as number) >= 0 && (label as number) < classes;
    check(isClass, `the label of image ${i}`, label, `a class from 0 to ${classes - 1}`);
    return label as number;
  });
}

function accuracyOf({ data, shape: [batch, classes] }: Tensor, labels: Float32Array): number {
  let right = 0;
  for (let n = 0; n < batch; n++) {
    const row = data.subarray(n * classes, (n + 1) * classes);
    if (row.indexOf(Math.max(...row)) === labels[n]) right++;
  }
  return right / batch;
}

/** The contents of all arenas at first: weights and statistics from a checkpoint, and zeros. */
function stateOf(first: Checkpoint, { weights, statistics }: TrainingStep): Checkpoint {
  const filled = new Map<string, Arena>([
    ...weights.map((arena, i) => [arenaName("weights", i), arena] as const),
    ...statistics.map((arena, i) => [arenaName("statistics", i), arena] as const),
  ]);
  const isArena = (name: string) => / \d+$/.test(name);
  return {
    ...first,
    close: () => first.close(),
    async read(name, start = 0, count = 0) {
      if (!isArena(name)) return first.read(name, start, count || undefined);
      const values = new Float32Array(count);
      for (const [part, { shape, offset }] of filled.get(name)?.parts ?? []) {
        const begin = Math.max(start, offset);
        const end = Math.min(start + count, offset + sizeOf(shape));
        if (begin < end) values.set(await first.read(part, begin - offset, end - begin), begin - start);
      }
      return values;
    },
  };
}

/** A plan that does nothing, and has an arena as its output. */
const readingPlan = (arena: string, size: number): Plan => ({
  dtype: "f32",
  steps: [],
  buffers: [],
  params: [{ name: arena, shape: [size], pieces: [size] }],
  inputs: [],
  outputs: [{ name: "y", shape: [size], place: { param: 0, piece: 0 } }],
  activationLowerBound: 0,
});
