import { type AnyNet, checkDefinition, findNet, type Given, type Nets } from "./definition.ts";
import { Device, type DeviceOptions, type Opened, openDevice } from "./device/device.ts";
import type { Host } from "./device/host.ts";
import type { LoadTraining } from "./graph/training.ts";
import type { Value } from "./graph/value.ts";
import { checkFields, checkOptions } from "./ground/errors.ts";
import { isTensor, type Tensor } from "./ground/tensor.ts";
import { Net } from "./net.ts";
import type { LoadOnnx, OnnxSource } from "./onnx/load.ts";
import type { Trainer, TrainOptions } from "./training/trainer.ts";

export interface OpenOptions extends DeviceOptions {
  /** The nets that loadNet() knows by name, or what loads them. */
  readonly nets?: Nets;
  /** Loads what train() has to know of operators. */
  readonly training?: LoadTraining;
  /** Loads what reads ONNX for loadOnnx(). */
  readonly onnx?: LoadOnnx;
}

const OPEN_OPTIONS = [
  "powerPreference",
  "limits",
  "device",
  "onLost",
  "signal",
  "nets",
  "variants",
  "rates",
  "kernelHash",
  "training",
  "onnx",
];

/**
 * Opens the best adapter there is. Throws a GpuError (NO_ADAPTER) that says what to install when there is none.
 * Call close() on the result, or Node will not exit.
 */
export async function openGpu(options: OpenOptions, host: Host): Promise<Gpu> {
  checkOptions("openGpu()", options, OPEN_OPTIONS);
  checkFields("the host", host, { providers: "function", open: "function" });
  const gpu = new Gpu(await openDevice(options, host), options);
  if (gpu.traits.rates) await (await import("./tuning/probe.ts")).probe(gpu);
  if (host.storage && options.kernelHash) await (await import("./tuning/kept.ts")).readTuning(gpu);
  return gpu;
}

/** An open device that runs nets and single operators. Everything made with it ends with close(). */
export class Gpu extends Device {
  /** The nets that are known by name. */
  readonly nets: Nets;
  declare readonly options: OpenOptions;

  constructor(opened: Opened, options: OpenOptions) {
    super(opened, options);
    this.nets = options.nets ?? {};
  }

  /** The definition of a net that is known by name; throws a UsageError that lists the names there are. */
  async definition(net: string | AnyNet): Promise<AnyNet> {
    const known = typeof net === "string" ? findNet(this.nets, net) : net;
    const definition = typeof known === "function" ? await known() : known;
    checkDefinition(definition);
    return definition;
  }

  /**
   * Runs one operator, or any function of values, by itself on tensors: `gpu.eager(maxPool2d, x, { kernel: 3 })`.
   * Leave an optional tensor out with undefined. A single kernel is the plain one, without variants.
   */
  async eager<A extends unknown[]>(
    op: (...args: A) => Value,
    ...args: { [I in keyof A]: TensorFor<A[I]> }
  ): Promise<Tensor> {
    // The caller's again at once. Of what was transferred no copy can be made.
    const taken = args.map((arg) =>
      isTensor(arg) && arg.data.length > 0 ? { shape: arg.shape, data: arg.data.slice() } : arg,
    );
    return (await import("./eager.ts")).runEager(this, op as (...args: unknown[]) => Value, taken);
  }

  /**
   * Loads a net by its name or definition: compiles its kernels while its weights load. Besides LoadOptions it takes the
   * net's own options, such as numClasses; weights of one's own say it by themselves. Throws a UsageError for an unknown name or option, a WeightsError when the
   * weights are damaged or another net's, a ShapeError for an image size the net cannot take, a GpuError when the
   * device is out of memory.
   */
  async loadNet(net: string | AnyNet, options: Given = {}): Promise<Net> {
    await this.ready();
    return Net.load(this, await this.definition(net), options, this.nets);
  }

  /**
   * Begins to train a net on batches of `batch` images, from the weights that `weights` names, else from random ones. Takes
   * TrainOptions beside what loadNet() takes, and throws what that does.
   */
  async train(net: string | AnyNet, options: TrainOptions & Given): Promise<Trainer> {
    return (await import("./training/trainer.ts")).Trainer.load(this, await this.definition(net), options);
  }

  /** Loads an ONNX model as a net: loadOnnx() of shadenet/onnx, which is loaded for it. */
  async loadOnnx(source: OnnxSource, options?: Given): Promise<Net> {
    return (await import("./onnx/load.ts")).loadFor(this, source, options);
  }
}

/** What eager() takes where the operator takes a value. */
type TensorFor<T> = T extends Value ? Tensor : T;
