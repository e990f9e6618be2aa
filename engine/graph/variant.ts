import type { Dtype } from "../ground/options.ts";
import type { Graph, OpNode } from "./graph.ts";
import type { AnyKernel, Call, Named } from "./kernel.ts";
import type { Value } from "./value.ts";

/** What a subgroup multiplies at once: a matrix of m x k by one of k x n, with sums in f32. */
export interface Matrices {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** What is multiplied. */
  readonly factors: Dtype;
  /** Lanes of the subgroups that do it. */
  readonly subgroup: number;
  /** True if the device has subgroups of several sizes, so that a kernel says which it wants. */
  readonly sized: boolean;
  /** True for an older WGSL, in which loads and stores take the order of elements as an argument. */
  readonly orderArgument: boolean;
  /** Bytes of a workgroup's memory. */
  readonly memory: number;
}

/** A device, as far as the choice between variants may depend on it. */
export interface Traits {
  /** Lanes of a subgroup where the device has subgroups of one known size, else 0. */
  readonly subgroupSize: number;
  /** True for a software adapter. */
  readonly software: boolean;
  /** True for a software adapter whose compiler takes a load, or a store, for less than a loop over the lanes. */
  readonly fastLoads?: boolean;
  /** Bytes that the device can bind at once. */
  readonly maxBinding: number;
  /** True where tensors can be stored as f16. */
  readonly f16?: boolean;
  /** The device's matrix units (tensor cores), where kernels can use them. */
  readonly matrices?: Matrices;
  /** How fast devices of this kind are; without it the first variant that applies is taken. */
  readonly rates?: Rates;
}

/** What a variant is chosen for: a device, and how the tensors of the net at hand are stored. */
export interface Setting extends Traits {
  readonly dtype: Dtype;
}

/** What a kind of device does in a second, as far as the choice between variants goes: kernels/rates.ts. */
export interface Rates {
  /** Floating-point operations per second, a multiply-add being two. */
  readonly flops: number;
  /** Bytes per second. */
  readonly bytes: number;
  /** Seconds that a dispatch takes besides its work. */
  readonly dispatch: number;
  /** Multiprocessors of a GPU, or cores of a CPU. */
  readonly cores: number;
  /** Threads that it takes to keep one of them busy. */
  readonly lanes: number;
  /**
   * The share of `flops` that each kernel reaches on large tensors, by its name: 0 for what is not for devices of this kind,
   * and a tenth for what is not listed.
   */
  readonly efficiency: Readonly<Record<string, number>>;
  /** Seconds that a call of a kernel is charged for its compiling, by its name: of those that few layers of a net share. */
  readonly compiling?: Readonly<Record<string, number>>;
  /** Estimates a kernel by these rates: seconds.ts, which comes with them, since who has none has no use for it. */
  secondsOf(graph: Graph, node: OpNode, rates: Rates): number;
}

/** A faster way to compute an operator where it applies; the operator's own kernel stays as the reference. */
export interface Variant<K extends string, O> {
  readonly name: string;
  /**
   * Rms error of one call over the rms of its output, by how tensors are stored, where it rounds more than the operator's own
   * kernel does.
   */
  readonly error?: Readonly<Record<Dtype, number>>;
  /** True if it takes images that are NHWC in memory as they are. */
  readonly nhwc?: boolean;
  /** True if all it gains is that images stay NHWC: it competes with the operator's own kernel by the conversions of both. */
  readonly layoutOnly?: boolean;
  /** Why it cannot take this call; undefined if it can. */
  refuses(call: Call<K, O>, setting: Setting, inputs: Named<K, Value>): string | undefined;
  /** Whether it may gain anything here; not asked when the variant is forced. Of those that may, estimates decide. */
  gains?(call: Call<K, O>, setting: Setting, inputs: Named<K, Value>): boolean;
  /** Adds its nodes to the graph; takes and gives the same values as the operator, whose own kernel is `plain`. */
  build(inputs: Named<K, Value>, call: Call<K, O>, setting: Setting, plain: AnyKernel): Value;
  /** Changes the graph when every variant is chosen. */
  finish?(graph: Graph, outputs: readonly string[]): void;
}

// biome-ignore lint/suspicious/noExplicitAny: a table has variants of operators of any inputs and options
export type AnyVariant = Variant<any, any>;

/** The variants of each operator by its name, best first: kernels/variants.ts. */
export type Variants = Readonly<Record<string, readonly AnyVariant[]>>;
