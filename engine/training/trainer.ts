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
import type { Inputs } from "../device/executable.ts";
import { type Graph, paramShapes } from "../graph/graph.ts";
import { prune } from "../graph/passes.ts";
import type { Plan } from "../graph/plan.ts";
import type { LoadTraining, Optimizer, TrainingTable } from "../graph/training.ts";
import {
  check,
  checkCount,
  checkObject,
  checkOptions,
  DisposedError,
  GpuError,
  isTexts,
  ShapeError,
  show,
  UsageError,
} from "../ground/errors.ts";
import { pcg } from "../ground/hash.ts";
import { type Shape, sameShape, sizeOf, type Tensor } from "../ground/tensor.ts";
import { takeElements } from "../image/batch.ts";
import { Model } from "../model.ts";
import { Net } from "../net.ts";
import { type Bytes, type Checkpoint, OPTIMIZER, type TensorInfo } from "../weights/checkpoint.ts";
import { openWeights, type Weights } from "../weights/open.ts";
import { arraysCheckpoint } from "../weights/sources.ts";
import type { Dataset } from "./data.ts";
import { compileForward, compileStep, hasDropout, type TrainingStep, traceTraining } from "./graph.ts";
import { initialWeights } from "./initial.ts";
import { arenasOf, readArenas, stateOf } from "./state.ts";

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
  /** What save() gave, to go on from: the same options then end in the same bits as a training that was never ended. */
  readonly resume?: Weights;
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

/** What a pass over a dataset tells. */
export interface EpochResult {
  /** Counted from 1. */
  readonly epoch: number;
  /** Steps since the training began. */
  readonly step: number;
  /** Means over the epoch's steps; over those that were left of one that was begun before the training was saved. */
  readonly loss: number;
  readonly accuracy: number;
  readonly validation?: Evaluation;
  readonly seconds: number;
}

export interface Evaluation {
  readonly loss: number;
  readonly accuracy: number;
  /** Examples. */
  readonly count: number;
}

/** What is told after every step of an epoch. */
export interface FitProgress extends StepResult {
  readonly phase: "train";
  readonly epoch: number;
  /** Steps of this epoch that are done, and all of them. */
  readonly loaded: number;
  readonly total: number;
}

export interface FitOptions {
  /** How many passes over the dataset there are in all, with those that were done before a resumed training was saved. */
  readonly epochs: number;
  /** What the net is evaluated on after every epoch. */
  readonly validation?: Dataset;
  /** Whether every epoch has an order of its own; it has by default. */
  readonly shuffle?: boolean;
  /** Ends the training after the step at hand. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: FitProgress) => void;
}

/** What a trainer is made of. */
interface Parts {
  readonly model: Model;
  readonly step: TrainingStep;
  /** The net at inference. */
  readonly forward: Plan;
  readonly optimizer: Optimizer;
  readonly rate: (step: number) => number;
  readonly seed: number;
  readonly source: Source;
  /** Where the numbers of a step on these inputs leave float32. */
  readonly overflow: (inputs: Inputs) => Promise<string>;
}

/** A net whose weights are being trained on the GPU. Ends with dispose(); its GPU stays open. */
export class Trainer {
  readonly definition: AnyNet;
  /** [N, C, H, W] of a batch. */
  readonly inputShape: Shape;
  /** Parameters that were to be trained, but that the loss does not depend on. */
  readonly unused: readonly string[];
  readonly numClasses: number;
  /** Parameters that began at random: all of them, or the last layer's where the weights are for other classes. */
  readonly fresh: readonly string[];
  readonly #model: Model;
  readonly #plan: TrainingStep;
  readonly #forward: Plan;
  readonly #optimizer: Optimizer;
  readonly #rate: (step: number) => number;
  readonly #seed: number;
  readonly #gpu: TrainingDevice;
  readonly #given: Given;
  /** What the device's memory is filled from: at first, and after a loss. */
  readonly #source: Source;
  readonly #overflow: Parts["overflow"];
  /** That of the device that the state is on. */
  #generation: number;
  #steps: number;
  /** The names of those that it was trained on. */
  #classes: readonly string[] | undefined;
  /** Keeps what is asked for in order. */
  #queue: Promise<unknown> = Promise.resolve();
  #disposed = false;

  /** See Gpu.train(). */
  static async load(gpu: TrainingDevice, definition: AnyNet, options: TrainOptions & Given): Promise<Trainer> {
    checkObject("train(): options", options);
    const { training } = gpu.options;
    if (!training) throw new UsageError('openGpu() was given no gradients: pass its option "training"');
    const { optimizer, loss = {}, trainable = /^/, dropout = true, seed = 0, resume, ...given } = options;
    const isTrainable = trainable instanceof RegExp || typeof trainable === "function";
    check(isTrainable, "trainable", trainable, "a RegExp or a function of a name");
    // Those with flags g and y remember where they were.
    const pattern = trainable instanceof RegExp && new RegExp(trainable.source, trainable.flags.replace(/[gy]/g, ""));
    const trains = pattern ? (name: string) => pattern.test(name) : (trainable as (name: string) => boolean);
    check(typeof dropout === "boolean", "train(): dropout", dropout, "true or false");
    check(Number.isSafeInteger(seed), "seed", seed, "an integer");
    for (const name of ["dtype", "precision", "passes", "variants"] as const) {
      if (given[name] === undefined || given[name] === "f32") continue;
      throw new UsageError(
        `nets are trained in f32, by kernels that train() chooses: leave out ${name}: ${show(given[name])}`,
      );
    }
    const graph = trace(definition, given);
    const [{ tableFor }] = await Promise.all([training(), gpu.ready(graph)]);
    const [batch, ...image] = inputShape(definition, given);
    const own = netOptions<NetOptions>(definition, given);
    const traceInto = (images: number) => (empty: Graph) => traceNet(definition, [images, ...image], own, empty);
    const hasKey = dropout && hasDropout(traceInto(batch));
    const table = await tableFor(prune(graph, ["logits"]), gpu.traits.maxBinding, hasKey);
    const chosen = await optimizerOf(optimizer, table);
    const traced = (images = batch, drops = dropout) => traceTraining(traceInto(images), drops, table);
    const compiled = (images?: number) => compileStep(traced(images), trains, chosen, loss, table, gpu);
    let model: Model | undefined;
    try {
      const step = compiled();
      const arenas = arenasOf(step, chosen, true);
      const source: Source =
        resume === undefined
          ? { ...(await firstWeights(gpu, definition, graph, given, seed)), steps: 0 }
          : await (await import("./resume.ts")).resumed(
              await openWeights(definition, { ...given, weights: resume }, gpu.host.open),
              paramShapes(graph),
              arenas,
              chosen.name,
            );
      const loaded = await Model.load(
        gpu,
        graph,
        stateOf(() => source.checkpoint, arenas),
      );
      model = loaded;
      await gpu.survive(() => loaded.prepare(step.plan));
      const forward = compileForward(traced(batch, false), step, table, gpu);
      const rate = rateOf(optimizer);
      const overflow = async (inputs: Inputs) =>
        (await import("./diagnosis.ts")).findOverflow(inputs, loaded, step, traced(), trains, table);
      const parts = { model, step, forward, optimizer: chosen, rate, seed, source, overflow };
      return new Trainer(gpu, definition, given, parts);
    } catch (error) {
      await model?.dispose();
      const { withSmallerBatch } = await import("./diagnosis.ts").catch(() => Promise.reject(error));
      const { adapter, host } = gpu;
      throw withSmallerBatch(error, batch, (n) => compiled(n).plan, adapter.software ? host.checkMemory : undefined);
    }
  }

  private constructor(
    gpu: TrainingDevice,
    definition: AnyNet,
    given: Given,
    { model, step, forward, optimizer, rate, seed, source, overflow }: Parts,
  ) {
    this.definition = definition;
    this.inputShape = inputShape(definition, given);
    this.numClasses = netOptions<NetOptions>(definition, given).numClasses;
    this.unused = step.unused;
    this.fresh = source.fresh;
    this.#gpu = gpu;
    this.#model = model;
    this.#given = given;
    this.#plan = step;
    this.#forward = forward;
    this.#optimizer = optimizer;
    this.#rate = rate;
    this.#seed = seed;
    this.#source = source;
    this.#overflow = overflow;
    this.#steps = source.steps;
    this.#generation = gpu.generation;
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
      const rates = Float32Array.from(this.#optimizer.ratesOf(this.#steps + 1, rate));
      const isSound = rates.every(Number.isFinite);
      check(isSound, `the learning rate of step ${this.#steps + 1}`, rate, "a number that is finite in float32");
      const executable = await this.#model.prepare(this.#plan.plan);
      const key = Float32Array.of(pcg(this.#seed ^ pcg(this.#steps)) >>> 8);
      const inputs = { x, labels: classes, one: Float32Array.of(1), rates, key };
      const { loss, logits, norm } = await executable.run(inputs);
      const [value] = loss.data;
      if (!Number.isFinite(value) || !Number.isFinite(norm.data[0])) {
        const where = await this.#overflow(inputs).catch(() => "");
        throw new GpuError(
          "OVERFLOW",
          `in step ${this.#steps + 1} the loss is ${value} and the gradients' norm ${Math.sqrt(norm.data[0])}${where}: the weights are those of the step before; try a smaller learning rate, or the option clipNorm: 1`,
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

  /** The mean loss and the accuracy on a dataset, as at inference, with the weights as they are. */
  async evaluate(dataset: Dataset, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Evaluation> {
    const [batch, ...image] = this.inputShape;
    let [loss, right] = [0, 0];
    for (let first = 0; first < dataset.size; first += batch) {
      signal?.throwIfAborted();
      const places = range(first, Math.min(first + batch, dataset.size));
      const { images, labels } = await dataset.examples(places);
      const classes = checkLabels(labels, places.length, this.numClasses);
      const padded = new Float32Array(batch * sizeOf(image));
      padded.set(images);
      const { data } = await this.run(padded);
      classes.forEach((label, n) => {
        const row = data.subarray(n * this.numClasses, (n + 1) * this.numClasses);
        loss += crossEntropyOf(row, label);
        right += Number(largestOf(row) === label);
      });
    }
    return { loss: loss / dataset.size, accuracy: right / dataset.size, count: dataset.size };
  }

  /**
   * Trains for whole epochs, and gives a result after each. An epoch is as many full batches as there are, in an order of
   * its own; one that was begun before a training was saved is ended first. Where the device is lost, it goes on from the last
   * epoch's end, or from what was saved since. Throws what step() and the dataset do, and the signal's reason.
   */
  async *fit(dataset: Dataset, options: FitOptions): AsyncGenerator<EpochResult, void, undefined> {
    const { epochs, validation, shuffle = true, signal, onProgress } = options;
    checkOptions("fit()", options, ["epochs", "validation", "shuffle", "signal", "onProgress"]);
    checkCount("epochs", epochs);
    this.#classes = this.#checkClasses("the dataset's classes", dataset.classes) ?? this.#classes;
    const [batch] = this.inputShape;
    const total = Math.floor(dataset.size / batch);
    if (total === 0)
      throw new UsageError(`a batch is ${batch} images and the dataset has ${dataset.size}: load with a smaller batch`);
    while (this.#steps < epochs * total) {
      const epoch = Math.floor(this.#steps / total);
      const start = performance.now();
      const key = pcg(this.#seed ^ pcg(epoch + 1));
      const order = shuffle ? shuffled(dataset.size, key) : range(0, dataset.size);
      const examplesAt = async (i: number) => dataset.examples(order.slice(i * batch, (i + 1) * batch), key);
      let [loss, accuracy, count] = [0, 0, 0];
      let next = examplesAt(this.#steps % total);
      for (let i = this.#steps % total; i < total; i++) {
        const { images, labels } = await next;
        signal?.throwIfAborted();
        const stepping = this.step(images, labels);
        // While the device works. Who waits for it hears of a failure.
        if (i + 1 < total) next = examplesAt(i + 1);
        next.catch(() => {});
        const result = await stepping.catch(unlessLost);
        if (!result) break;
        count++;
        loss += result.loss;
        accuracy += result.accuracy;
        onProgress?.({ ...result, phase: "train", epoch: epoch + 1, loaded: i + 1, total });
      }
      // Of an epoch that was lost nothing is told: it begins again.
      if (await this.#isLost()) continue;
      await this.#keep();
      yield {
        epoch: epoch + 1,
        step: this.#steps,
        loss: loss / count,
        accuracy: accuracy / count,
        ...(validation && { validation: await this.evaluate(validation, { signal }) }),
        seconds: (performance.now() - start) / 1000,
      };
    }
  }

  /**
   * Reads what is trained from the device: parameters and statistics by their names, what the optimizer keeps of them as
   * "optimizer.m.NAME" and "optimizer.v.NAME", and if asked for the gradients of the last step as "gradient.NAME".
   */
  tensors({ gradients = false }: { readonly gradients?: boolean } = {}): Promise<Map<string, Tensor>> {
    return this.#turn(() => this.#read(gradients));
  }

  #read(gradients = false): Promise<Map<string, Tensor>> {
    return readArenas(
      arenasOf(this.#plan, this.#optimizer, gradients),
      (plan) => this.#model.prepare(plan),
      (plan) => this.#model.release(plan),
    );
  }

  /**
   * The bytes of a safetensors file: every parameter of the net as it is, and what the optimizer keeps. It is a checkpoint of
   * the net, and what `resume` goes on from. `classes` are the names of the classes, if not those of
   * the dataset of fit(); they stand in the file's metadata.
   */
  async save({ classes = this.#classes }: { readonly classes?: readonly string[] } = {}): Promise<Bytes> {
    this.#checkClasses("save(): classes", classes);
    const { tensors, steps } = await this.#keep();
    const { encodeSafetensors } = await import("../weights/safetensors.ts");
    const training = JSON.stringify({
      steps,
      batch: this.inputShape[0],
      seed: this.#seed,
      optimizer: this.#optimizer.name,
    });
    return encodeSafetensors(tensors, {
      net: this.definition.name,
      training,
      ...(classes && { classes: JSON.stringify(classes) }),
    });
  }

  #checkClasses(what: string, classes: readonly string[] | undefined): readonly string[] | undefined {
    const isNamed = classes === undefined || (isTexts(classes) && classes.length === this.numClasses);
    check(isNamed, what, classes, `names of the ${this.numClasses} classes`);
    return classes;
  }

  /** The net with the weights as they are, to classify with; of its own from here on. Ends with its dispose(). */
  async net(options: Given = {}): Promise<Net> {
    const { tensors } = await this.#keep();
    const weights = Object.fromEntries([...tensors].filter(([name]) => !name.startsWith(OPTIMIZER)));
    return Net.load(
      this.#gpu,
      this.definition,
      { labels: this.#classes, ...this.#given, ...options, weights },
      this.#gpu.nets,
    );
  }

  /** Reads everything, so that a device that is lost costs only what comes after it. */
  #keep(): Promise<{ tensors: ReadonlyMap<string, Tensor>; steps: number }> {
    return this.#turn(async () => {
      const steps = this.#steps;
      const { checkpoint, kept } = this.#source;
      if (kept && this.#source.steps === steps) return { tensors: kept, steps };
      const changed = await this.#read();
      const tensors = new Map<string, Tensor>();
      for (const name of paramShapes(this.#model.graph).keys()) {
        const { shape } = checkpoint.tensors.get(name) as TensorInfo;
        tensors.set(name, changed.get(name) ?? { shape, data: await checkpoint.read(name) });
      }
      for (const [name, tensor] of changed) tensors.set(name, tensor);
      // What it was opened from is not needed any more.
      await checkpoint.close();
      const source = arraysCheckpoint(tensors, "what was kept of the training");
      Object.assign(this.#source, { checkpoint: source, kept: tensors, steps });
      return { tensors, steps };
    });
  }

  /** Whether the device was lost since the last step; it is opened again. */
  #isLost(): Promise<boolean> {
    return this.#turn(async () => false).catch((error) => unlessLost(error) ?? true);
  }

  #turn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#disposed) return Promise.reject(new DisposedError("the trainer"));
    const result = this.#queue.then(async () => {
      await this.#gpu.ready();
      if (this.#generation !== this.#gpu.generation) {
        this.#generation = this.#gpu.generation;
        const lost = this.#steps - this.#source.steps;
        this.#steps = this.#source.steps;
        const steps = lost === 1 ? "a step" : `${lost} steps`;
        const since = `training goes on from step ${this.#steps}, the last that was kept`;
        if (lost > 0) throw new GpuError("DEVICE_LOST", `the GPU device was lost, and ${steps} with it: ${since}`);
      }
      return work();
    });
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

function optimizerOf(given: OptimizerOptions, { optimizers }: TrainingTable): Promise<Optimizer> {
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
  check(Number.isInteger(length), "the labels", labels, "an array of a class for each image");
  if (length !== batch) throw new ShapeError(`there are ${length} labels for ${batch} images`);
  return Float32Array.from({ length: batch }, (_, i) => {
    const label: unknown = labels[i];
    const isClass = Number.isInteger(label) && (label as number) >= 0 && (label as number) < classes;
    check(isClass, `the label of image ${i}`, label, `a class from 0 to ${classes - 1}`);
    return label as number;
  });
}

/** Throws an error again, but for that of a lost device. */
function unlessLost(error: unknown): undefined {
  if (!(error instanceof GpuError) || error.code !== "DEVICE_LOST") throw error;
}

const largestOf = (row: Float32Array): number => row.indexOf(Math.max(...row));

function accuracyOf({ data, shape: [batch, classes] }: Tensor, labels: Float32Array): number {
  const isRight = (label: number, n: number) => largestOf(data.subarray(n * classes, (n + 1) * classes)) === label;
  return labels.filter(isRight).length / batch;
}

/** In float64. */
function crossEntropyOf(logits: Float32Array, label: number): number {
  const largest = Math.max(...logits);
  return Math.log(logits.reduce((sum, v) => sum + Math.exp(v - largest), 0)) + largest - logits[label];
}

const range = (start: number, end: number): number[] => Array.from({ length: end - start }, (_, i) => start + i);

/** Places in an order that follows from a key (R. Durstenfeld's shuffle, 1964). */
export function shuffled(size: number, key: number): number[] {
  const order = range(0, size);
  for (let i = size - 1; i > 0; i--) {
    const j = pcg(key ^ pcg(i)) % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** What the state of a training is read from, and how many steps it had. */
export interface Source {
  readonly checkpoint: Checkpoint;
  readonly steps: number;
  /** All that was read from the device when there were so many steps. */
  readonly kept?: ReadonlyMap<string, Tensor>;
  /** Parameters that begin at random. */
  readonly fresh: readonly string[];
}

/**
 * The weights that a training begins with. Those of a net for other classes are taken, too, and their last layer begins at
 * random.
 */
async function firstWeights(
  gpu: TrainingDevice,
  definition: AnyNet,
  graph: Graph,
  given: Given,
  seed: number,
): Promise<Omit<Source, "steps">> {
  const initial = initialWeights(graph, seed);
  if (given.weights === undefined) return { checkpoint: initial, fresh: [...initial.tensors.keys()] };
  const wanted = paramShapes(graph);
  const { numClasses, labels, ...others } = given as Given & { numClasses?: number };
  try {
    return { checkpoint: await openFitting(definition, wanted, given, gpu.host.open, gpu.nets), fresh: [] };
  } catch (error) {
    const { classes } = error as { readonly classes?: number };
    if (classes === undefined || numClasses === undefined) throw error;
    const shapes = paramShapes(trace(definition, { ...others, numClasses: classes }));
    const opened = await openFitting(definition, shapes, given, gpu.host.open, gpu.nets).catch(() => {
      throw error;
    });
    const isFresh = (name: string) => !sameShape(shapes.get(name) ?? [], wanted.get(name) ?? []);
    const fresh = [...wanted.keys()].filter(isFresh);
    const checkpoint: Checkpoint = {
      name: opened.name,
      tensors: new Map([
        ...opened.tensors,
        ...fresh.map((name) => [name, initial.tensors.get(name) as TensorInfo] as const),
      ]),
      read: (name, start, count) => (fresh.includes(name) ? initial : opened).read(name, start, count),
      close: () => opened.close(),
    };
    return { checkpoint, fresh };
  }
}
