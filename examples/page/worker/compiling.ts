import { trace } from "../../../engine/definition.ts";
import type { Executable } from "../../../engine/device/executable.ts";
import { timeSteps } from "../../../engine/device/profile.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { candidatesOf, readInNhwc } from "../../../engine/graph/candidates.ts";
import { tryOut } from "../../../engine/graph/estimate.ts";
import { callOf, type Graph, layerOf, type OpNode, readsOf } from "../../../engine/graph/graph.ts";
import type { AnyKernel } from "../../../engine/graph/kernel.ts";
import { lower, type Target, TOLERANCE } from "../../../engine/graph/lower.ts";
import { passes, prune, rewrite } from "../../../engine/graph/passes.ts";
import { bytesOf, type Place, type Plan, type Step } from "../../../engine/graph/plan.ts";
import type { Traits } from "../../../engine/graph/variant.ts";
import type { Reflection } from "../../../engine/graph/wgsl.ts";
import { median } from "../../../engine/ground/statistics.ts";
import { type Shape, sizeOf, sum, type Tensor } from "../../../engine/ground/tensor.ts";
import type { Image } from "../../../engine/image/image.ts";
import { IMAGENET } from "../../../engine/image/transforms.ts";
import { Model } from "../../../engine/model.ts";
import { largestError } from "../../../engine/tuning/agreement.ts";
import * as sources from "../../../kernels/wgsl.ts";
import { randomWeights } from "../../../nets/random_weights.ts";
import { resnet18 } from "../../../nets/resnet.ts";

/** ResNet-18 up to the end of its first block, small enough for any device, with the same weights each time. */
export const [NET, OUTPUT, SIDE, SEED] = [resnet18, "layer1.0", 64, 1] as const;

/** An operator of a graph, and which of those that were written it stands for. */
export interface Operator {
  readonly layer: string;
  readonly name: string;
  readonly shape: Shape;
  /** Places of the first and the last in the list of those that were written. */
  readonly first: number;
  readonly last: number;
  /** What it has taken in. */
  readonly notes: readonly string[];
  /** The values that it reads, by their layers, and the elements of its parameters. */
  readonly reads: readonly string[];
  readonly parameters: number;
}

/** The graph as it was written, where `pass` is empty, or after a pass. */
export interface Stage {
  readonly pass: string;
  readonly operators: readonly Operator[];
}

/** A way to compute an operator. */
export interface Way {
  readonly name: string;
  /** Why it is not taken, whatever it takes. */
  readonly reason?: string;
  /** By the rates of this kind of device; none where there is nothing to gain or to estimate. */
  readonly milliseconds?: number;
}

/** How an operator is lowered. */
export interface Lowered {
  readonly layer: string;
  readonly operator: string;
  readonly shape: Shape;
  readonly variant: string;
  readonly why: string;
  readonly ways: readonly Way[];
  /** Indices of the plan's steps that it has become. */
  readonly steps: readonly number[];
}

export interface StepFacts extends Pick<Step, "label" | "kernel" | "grid" | "code" | "flops" | "bytes"> {
  /** Of a workgroup. */
  readonly threads: number;
  /** The name of the .wgsl file, where the code is one. */
  readonly file?: string;
  readonly consts: ReturnType<AnyKernel["consts"]>;
  readonly params: readonly { readonly name: string; readonly value: number }[];
  readonly bindings: readonly {
    readonly index: number;
    readonly name: string;
    readonly type: string;
    readonly place: string;
  }[];
  /** Median of a few runs. */
  readonly milliseconds: number;
}

/** A tensor in an activation buffer. */
export interface Stay {
  readonly name: string;
  readonly buffer: number;
  /** In bytes. */
  readonly offset: number;
  readonly size: number;
  /** The step that writes it, -1 for an input; the last one that reads it, or the number of steps for an output. */
  readonly first: number;
  readonly last: number;
}

/** A call of WebGPU as it was made. */
export interface Command {
  readonly name: string;
  readonly args: string;
}

/** What a convolution goes through, as plain data: each part read from the object that the library works with. */
export interface Compiling {
  readonly traits: Omit<Traits, "rates">;
  readonly input: Tensor;
  /** Operators of the whole net that the output does not need. */
  readonly dropped: number;
  readonly stages: readonly Stage[];
  readonly lowered: readonly Lowered[];
  readonly steps: readonly StepFacts[];
  readonly stays: readonly Stay[];
  readonly memory: ReturnType<typeof bytesOf> & { readonly buffers: readonly number[]; readonly lowerBound: number };
  readonly clock: "gpu" | "wall";
  readonly commands: readonly Command[];
  readonly output: Tensor;
}

/**
 * Compiles and runs the first block of a net for one image, and tells what it has become on the way; resolves to how far the output is
 * from that of the net as written, by plain kernels: the largest difference over the rms.
 */
export const compileAndRun = (gpu: Gpu, image: Image, tell: (compiling: Compiling) => void): Promise<number> =>
  gpu.survive(() => compileOnce(gpu, image, tell));

async function compileOnce(gpu: Gpu, image: Image, tell: (compiling: Compiling) => void): Promise<number> {
  const [outputs, options] = [[OUTPUT], { imageSize: SIDE }];
  const graph = trace(NET, options);
  const model = await Model.load(gpu, graph, randomWeights(NET, options, SEED), { outputs });
  try {
    const [{ shape }] = graph.nodes;
    const data = await NET.preprocess(image, shape.slice(1), { ...IMAGENET, resize: SIDE, crop: SIDE });
    const executable = await model.executable(outputs);
    const inputs = { x: data };
    const { commands, result } = await record(gpu.device, () => executable.run(inputs));
    const output = result[OUTPUT];
    const { clock, runs } = await timeSteps(executable, inputs, 5);
    const milliseconds = executable.plan.steps.map((_, i) => median(runs.map((run) => run[i].end - run[i].start)));
    const { rates: _, ...traits } = gpu.traits;
    tell({
      traits,
      input: { shape, data },
      ...describe(graph, gpu, executable, milliseconds),
      clock,
      commands,
      output,
    });

    const plain = Object.fromEntries(Object.keys(gpu.variants).map((operator) => [operator, operator]));
    const asWritten = await model.executable(outputs, { passes: [], variants: plain });
    const wanted = (await asWritten.run(inputs))[OUTPUT].data;
    return largestError({ shape: [1, wanted.length], data: output.data }, new Map([[0, wanted]]));
  } finally {
    await model.dispose();
  }
}

function describe(graph: Graph, target: Target, { plan }: Executable, milliseconds: readonly number[]) {
  const stages = stagesOf(graph);
  const lowered = lower(stages.graph, [OUTPUT], target);
  const operators = graph.nodes.filter(({ kind }) => kind === "op").length;
  return {
    dropped: operators - stages.told[0].operators.length,
    stages: stages.told,
    lowered: waysOf(stages.graph, lowered, target, plan),
    steps: plan.steps.map((step, i) => factsOf(step, plan, lowered, milliseconds[i])),
    stays: staysOf(plan),
    memory: { ...bytesOf(plan), buffers: plan.buffers, lowerBound: plan.activationLowerBound },
  };
}

/** The graph pass by pass: each value that was written is named, and names go where the values go. */
function stagesOf(traced: Graph): { readonly told: readonly Stage[]; readonly graph: Graph } {
  let graph = prune(traced, [OUTPUT]);
  const written = graph.nodes.flatMap((node, id) => (node.kind === "op" ? [id] : []));
  const names = written.map((id) => layerOf(graph, id));
  for (const [i, id] of written.entries()) graph.name(nth(i), graph.value(id));
  const told = [{ pass: "", operators: operatorsOf(graph, names) }];
  for (const [pass, run] of Object.entries(passes)) {
    graph = run(graph, [OUTPUT]);
    told.push({ pass, operators: operatorsOf(graph, names) });
  }
  return { told, graph };
}

const nth = (i: number): string => `operator ${i}`;

function operatorsOf(graph: Graph, names: readonly string[]): Operator[] {
  let first = 0;
  return graph.nodes.flatMap((node, id) => {
    if (node.kind !== "op") return [];
    const placeOf = (id: number) => names.findIndex((_, i) => graph.names.get(nth(i)) === id);
    const read = readsOf(node).map((id) => ({ id, ...graph.nodes[id] }));
    // Those in between went into it.
    const last = placeOf(id);
    const operator = {
      reads: read.flatMap(({ kind, id }) => (kind === "param" ? [] : (names[placeOf(id)] ?? "x"))),
      parameters: sum(read.map(({ kind, shape }) => (kind === "param" ? sizeOf(shape) : 0))),
      layer: names[first],
      name: node.kernel.name,
      shape: node.shape,
      first,
      last,
      notes: notesOf(graph, node),
    };
    first = last + 1;
    return [operator];
  });
}

function notesOf({ nodes }: Graph, { kernel: { fuses, options: defaults }, inputs, options }: OpNode): string[] {
  const own = options as Readonly<Record<string, string>>;
  const { affine, sum, activation } = fuses ?? {};
  const weight = affine && nodes[inputs[affine.weight]];
  const folded = weight?.kind === "param" ? (weight.from?.sources[1] ?? "").replace(/\.[^.]*$/, "") : "";
  const applied = activation && own[activation] !== defaults[activation] ? own[activation] : "";
  return [folded && `weights folded with ${folded}`, sum && sum in inputs ? "adds the shortcut" : "", applied].filter(
    Boolean,
  );
}

/** What lower() has chosen from, with its own estimates. */
function waysOf(graph: Graph, chosen: Graph, { traits, variants }: Target, plan: Plan): Lowered[] {
  const setting = { ...traits, dtype: plan.dtype };
  const inNhwc = readInNhwc(graph, [OUTPUT], variants, setting);
  const choices = new Map(
    chosen.nodes.flatMap((node) => (node.kind === "op" && node.choice ? [[node.choice.layer, node.choice]] : [])),
  );
  const all: Lowered[] = [];
  rewrite(graph, (node, id, next) => {
    if (node.kind !== "op") return "keep";
    const layer = layerOf(graph, id);
    const { variant, why } = choices.get(layer) ?? { variant: node.kernel.name, why: "there is only one way" };
    let taken = undefined as ReturnType<typeof tryOut>["value"] | undefined;
    const ways = candidatesOf(graph, node, next.inputsOf(node), variants, setting).map((candidate, i): Way => {
      const { name, reason, error } = candidate;
      if (reason !== undefined) return { name, reason };
      if (error > TOLERANCE[plan.dtype]) return { name, reason: "it would round too much" };
      if (i > 0 && name !== variant && !candidate.gains()) return { name, reason: "not for shapes like this one" };
      const { value, seconds } = tryOut(next.graph, candidate.make, setting, inNhwc[id]);
      if (name === variant) taken = value;
      if (seconds === Number.POSITIVE_INFINITY) return { name, reason: "not for this kind of device" };
      return { name, milliseconds: seconds && seconds * 1e3 };
    });
    const steps = plan.steps.flatMap(({ label }, i) => (label === layer ? [i] : []));
    all.push({ layer, operator: node.kernel.name, shape: node.shape, variant, why, ways, steps });
    return taken ?? "keep";
  });
  return all;
}

function factsOf(step: Step, plan: Plan, graph: Graph, milliseconds: number): StepFacts {
  const { label, kernel: name, grid, code, flops, bytes } = step;
  const node = graph.nodes.find(
    (node, id): node is OpNode & { shape: Shape } =>
      node.kind === "op" && node.kernel.name === name && layerOf(graph, id) === label,
  ) as OpNode & { shape: Shape };
  const { kernel } = node;
  const { reflection, wgsl } = kernel;
  const consts = kernel.consts(callOf(graph, node));
  const names = new Map(reflection.bindings.map(({ index, name }) => [index, name]));
  return {
    label,
    kernel: name,
    grid,
    code,
    flops,
    bytes,
    threads: reflection.threads.reduce((product, each) => product * Number(consts[each] ?? valueIn(code, each)), 1),
    file: Object.entries(sources).find(([, source]) => source === wgsl)?.[0],
    consts,
    params: unpack(reflection.params, step.params),
    bindings: step.bindings.map(({ index, type, place }) => ({
      index,
      name: names.get(index) ?? "",
      type,
      place: placeText(place, type, plan),
    })),
    milliseconds,
  };
}

/** A number, or the value of a constant of the code. */
const valueIn = (code: string, name: string): number =>
  Number.parseInt(new RegExp(`const ${name}\\b[^=]*= *(\\d+)`).exec(code)?.[1] ?? name, 10);

/** The fields of a uniform struct Params. */
function unpack(fields: Reflection["params"], bytes: Uint8Array): { name: string; value: number }[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const read = { u32: "getUint32", i32: "getInt32", f32: "getFloat32" } as const;
  return fields.map(({ name, type }, i) => ({ name, value: view[read[type]](4 * i, true) }));
}

function placeText(place: Place | undefined, type: string, { params }: Plan): string {
  if (!place)
    return type === "uniform" ? "its bytes of the buffer of Params" : "absent: a buffer of 16 bytes that nobody reads";
  if ("param" in place) return params[place.param].name;
  return `activation ${place.buffer}, bytes ${place.offset} to ${place.offset + place.size - 1}`;
}

/** Where activations are, and from which step to which. */
function staysOf({ inputs, steps, outputs }: Plan): Stay[] {
  const stays: (Stay & { last: number })[] = inputs.map(({ name, place }) => ({ name, ...place, first: -1, last: -1 }));
  const at = (place: Place | undefined) =>
    place && "buffer" in place
      ? stays.findLast(({ buffer, offset }) => buffer === place.buffer && offset === place.offset)
      : undefined;
  const keep = (place: Place | undefined, until: number) => {
    const stay = at(place);
    if (stay) stay.last = until;
  };
  steps.forEach(({ label, bindings }, i) => {
    for (const { type, place } of bindings) if (type !== "storage") keep(place, i);
    for (const { type, place } of bindings) {
      if (type === "storage" && place && "buffer" in place) stays.push({ name: label, ...place, first: i, last: i });
    }
  });
  for (const { place } of outputs) keep(place, steps.length);
  return stays;
}

/** Does something, and writes down what is called of the device, its queue and its encoders meanwhile. */
async function record<T>(
  device: GPUDevice,
  work: () => Promise<T>,
): Promise<{ readonly commands: Command[]; readonly result: T }> {
  const commands: Command[] = [];
  const watched = [
    [device, "createCommandEncoder"],
    [device.queue, "writeBuffer"],
    [device.queue, "submit"],
  ] as const;
  for (const [object, name] of watched) {
    const method = (Reflect.get(object, name) as (...args: unknown[]) => unknown).bind(object);
    Object.defineProperty(object, name, { configurable: true, value: note(name, method, commands) });
  }
  try {
    return { result: await work(), commands };
  } finally {
    // What they inherit is there again.
    for (const [object, name] of watched) Reflect.deleteProperty(object, name);
  }
}

/** A method that writes down its calls, and those of the encoder that it gives. */
const note =
  (name: string, method: (...args: unknown[]) => unknown, commands: Command[]) =>
  (...args: unknown[]): unknown => {
    commands.push({ name, args: args.map(argText).filter(Boolean).join(", ") });
    const made = method(...args);
    return made instanceof GPUCommandEncoder || made instanceof GPUComputePassEncoder ? noting(made, commands) : made;
  };

const noting = <T extends object>(encoder: T, commands: Command[]): T =>
  new Proxy(encoder, {
    get(_, name) {
      const value = Reflect.get(encoder, name);
      return typeof value === "function" ? note(String(name), value.bind(encoder), commands) : value;
    },
  });

function argText(arg: unknown): string {
  if (ArrayBuffer.isView(arg)) return `${arg.byteLength} bytes`;
  if (Array.isArray(arg)) return `${arg.length} command buffer`;
  if (typeof arg === "object" && arg !== null) return "label" in arg ? `“${arg.label}”` : "";
  return arg === undefined ? "" : String(arg);
}
