import type { Executable } from "../../../engine/device/executable.ts";
import { COPY_DST, STORAGE, UNIFORM } from "../../../engine/device/usage.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import type { Graph, Node, OpNode } from "../../../engine/graph/graph.ts";
import type { Value } from "../../../engine/graph/value.ts";
import { UsageError } from "../../../engine/ground/errors.ts";
import { type Shape, sameShape, sizeOf } from "../../../engine/ground/tensor.ts";
import { perDevice } from "./per_device.ts";

// Where in the image a net finds what it names: drawn from the buffers that a run left on the GPU.

/** Names of the values that a heat map is drawn from. */
export const MAPS = "heat map: activations";
export const CLASS_WEIGHTS = "heat map: weights";

export interface HeatMapSource {
  /** The layer that the map shows. */
  readonly layer: string;
  /** [1, C, H, W] of its activations. */
  readonly shape: Shape;
  /** True for a map of one class, false for one of all. */
  readonly perClass: boolean;
}

/** Whether a node is the mean of each channel of an image. */
const isPooling = (graph: Graph, node: Node): node is OpNode =>
  node.kind === "op" &&
  /^(adaptive_avgpool2d|mean)$/.test(node.kernel.name) &&
  graph.nodes[node.inputs.x].shape.length === 4 &&
  sizeOf(node.shape) === sizeOf(graph.nodes[node.inputs.x].shape.slice(0, 2));

/**
 * Names what a heat map needs of a net. Where one layer that is linear in the channels, and a mean over the image, make the
 * logits of the last maps, the weights of that layer tell how much each channel speaks for a class: the class activation map
 * (B. Zhou et al., "Learning deep features for discriminative localization", 2016). With more layers behind it there are no
 * such weights: the map is then the mean of the channels that are pooled, or, without such a pooling, of the last convolution.
 */
export function addHeatMap(graph: Graph): HeatMapSource {
  const { nodes } = graph;
  const scored = findScored(graph);
  if (scored) {
    graph.name(CLASS_WEIGHTS, graph.value(scored.weights));
    return nameMaps(graph, graph.value(scored.maps), true);
  }
  const last = nodes.findLastIndex(
    (node) => node.kind === "op" && node.kernel.name === "conv2d" && sizeOf(node.shape.slice(2)) > 1,
  );
  if (last < 0) throw new UsageError("the net has no convolution to draw a heat map of");
  // Poolings before it are parts of blocks.
  const pooling = nodes.slice(last).find((node) => isPooling(graph, node));
  if (pooling?.kind === "op") return nameMaps(graph, graph.value(pooling.inputs.x), false);
  // Its normalization, its activation: whatever follows at the same size.
  return nameMaps(graph, graph.value(followTo(graph, last)), false);
}

/** The maps and the weights [classes, channels] that give the logits: a linear layer behind the mean, or a 1x1 convolution before. */
function findScored(graph: Graph): { readonly maps: number; readonly weights: number } | undefined {
  const at = (id: number) => graph.nodes[graph.root(id)];
  const head = at(graph.find("logits"));
  if (head.kind !== "op") return undefined;
  if ("w" in head.inputs) {
    const pooled = at(head.inputs.x);
    return isPooling(graph, pooled) ? { maps: pooled.inputs.x, weights: head.inputs.w } : undefined;
  }
  if (!isPooling(graph, head)) return undefined;
  const active = at(head.inputs.x);
  const layer = active.kind === "op" && active.kernel.activation?.(active.options) ? at(active.inputs.x) : active;
  const isPlain = layer.kind === "op" && layer.kernel.name === "conv2d";
  return isPlain && sizeOf(graph.nodes[layer.inputs.w].shape.slice(2)) === 1
    ? { maps: layer.inputs.x, weights: layer.inputs.w }
    : undefined;
}

function followTo(graph: Graph, id: number): number {
  const next = graph.nodes.findIndex(
    (node) => node.kind === "op" && node.inputs.x === id && sameShape(node.shape, graph.nodes[id].shape),
  );
  return next < 0 ? id : followTo(graph, next);
}

function nameMaps(graph: Graph, maps: Value, perClass: boolean): HeatMapSource {
  const layer = [...graph.names].filter(([, id]) => id === maps.id).at(-1)?.[0] ?? "the last convolution";
  graph.name(MAPS, maps);
  return { layer, shape: maps.shape, perClass };
}

const SHADER = /* wgsl */ `
struct Params {
  channels: u32,
  height: u32,
  width: u32,
  class_index: u32, // 0xffffffff: the mean of all channels
}

@group(0) @binding(0) var<storage, read> maps: array<f32>;
@group(0) @binding(1) var<storage, read> class_weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> heat: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> least: array<f32, 256>;
var<workgroup> most: array<f32, 256>;

// One workgroup: sums the channels in every place, then stretches the sums to 0 .. 1.
@compute @workgroup_size(256)
fn weigh(@builtin(local_invocation_index) lid: u32) {
  let places = params.height * params.width;
  least[lid] = 3.4e38;
  most[lid] = -3.4e38;
  for (var place = lid; place < places; place += 256u) {
    var sum = 0.0;
    for (var c = 0u; c < params.channels; c++) {
      var weight = 1.0;
      if (params.class_index != 0xffffffffu) {
        weight = class_weights[params.class_index * params.channels + c];
      }
      sum += weight * maps[c * places + place];
    }
    heat[place] = sum;
    least[lid] = min(least[lid], sum);
    most[lid] = max(most[lid], sum);
  }
  for (var span = 128u; span > 0u; span /= 2u) {
    workgroupBarrier();
    if (lid < span) {
      least[lid] = min(least[lid], least[lid + span]);
      most[lid] = max(most[lid], most[lid + span]);
    }
  }
  workgroupBarrier();
  let range = max(most[0] - least[0], 1e-20);
  for (var place = lid; place < places; place += 256u) {
    heat[place] = (heat[place] - least[0]) / range;
  }
}

@group(0) @binding(0) var<storage, read> drawn: array<f32>;
@group(0) @binding(1) var<uniform> size: Params;

// One triangle over the whole canvas.
@vertex
fn corner(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
  return vec4f(f32(i / 2u) * 4.0 - 1.0, f32(i % 2u) * 4.0 - 1.0, 0.0, 1.0);
}

fn at(row: i32, column: i32) -> f32 {
  let i = clamp(row, 0, i32(size.height) - 1);
  let j = clamp(column, 0, i32(size.width) - 1);
  return drawn[u32(i) * size.width + u32(j)];
}

const SIDE = 224.0;

// Bilinear between the places; clear where it is cold, then blue, yellow and red.
@fragment
fn color(@builtin(position) pixel: vec4f) -> @location(0) vec4f {
  let place = pixel.yx / SIDE * vec2f(f32(size.height), f32(size.width)) - 0.5;
  let first = vec2i(floor(place));
  let part = fract(place);
  let upper = mix(at(first.x, first.y), at(first.x, first.y + 1), part.y);
  let lower = mix(at(first.x + 1, first.y), at(first.x + 1, first.y + 1), part.y);
  let value = mix(upper, lower, part.x);
  let rgb = clamp(vec3f(3.0 * value - 1.0, 2.0 - abs(4.0 * value - 2.4), 1.6 - 2.6 * value), vec3f(), vec3f(1.0));
  let alpha = 0.72 * smoothstep(0.15, 0.8, value);
  return vec4f(rgb * alpha, alpha);
}
`;

/** The side of the canvas in pixels, as the shader has it. */
const SIDE = 224;

/** What draws on one device. */
interface Drawing {
  readonly canvas: OffscreenCanvas;
  readonly context: GPUCanvasContext;
  readonly weigh: GPUComputePipeline;
  readonly color: GPURenderPipeline;
  readonly params: GPUBuffer;
  readonly heat: GPUBuffer;
}

/** Draws heat maps. */
export class HeatMap {
  readonly #gpu: Gpu;
  readonly #drawing: () => Promise<Drawing>;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.#drawing = perDevice(gpu, () => prepare(gpu));
  }

  /** Draws what the last run of the executable left, for a class where the source has one for each. */
  draw(executable: Executable, source: HeatMapSource, classIndex: number): Promise<ImageBitmap> {
    const gpu = this.#gpu;
    const drawn = executable.exclusive(async () => {
      const { generation } = gpu;
      const drawing = await this.#drawing();
      gpu.check(generation);
      const problem = await gpu.guarded(() => submit(gpu, drawing, executable, source, classIndex));
      if (problem) throw problem;
      gpu.check(generation);
      return drawing.canvas.transferToImageBitmap();
    });
    // Whatever fails because of a loss tells of it.
    return gpu.settle(drawn);
  }
}

function submit(
  gpu: Gpu,
  { context, weigh, color, params, heat }: Drawing,
  executable: Executable,
  { shape, perClass }: HeatMapSource,
  classIndex: number,
): void {
  const { device } = gpu;
  const [, channels, height, width] = shape;
  const maps = executable.output(MAPS);
  const weights = perClass ? executable.output(CLASS_WEIGHTS) : maps;
  gpu.write(params, 0, Uint32Array.of(channels, height, width, perClass ? classIndex : 0xffffffff));
  const encoder = device.createCommandEncoder();
  const compute = encoder.beginComputePass();
  compute.setPipeline(weigh);
  compute.setBindGroup(0, bind(device, weigh, [maps, weights, { buffer: heat }, { buffer: params }]));
  compute.dispatchWorkgroups(1);
  compute.end();
  const view = context.getCurrentTexture().createView();
  const render = encoder.beginRenderPass({
    colorAttachments: [{ view, loadOp: "clear", storeOp: "store", clearValue: [0, 0, 0, 0] }],
  });
  render.setPipeline(color);
  render.setBindGroup(0, bind(device, color, [{ buffer: heat }, { buffer: params }]));
  render.draw(3);
  render.end();
  device.queue.submit([encoder.finish()]);
}

/** Compiles what draws, on a canvas of the device's own. */
async function prepare(gpu: Gpu): Promise<Drawing> {
  const { device } = gpu;
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext("webgpu") as GPUCanvasContext;
  const format = navigator.gpu.getPreferredCanvasFormat();
  context.configure({ device, format, alphaMode: "premultiplied" });
  const module = device.createShaderModule({ label: "heat map", code: SHADER });
  const [weigh, color] = await Promise.all([
    device.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "weigh" } }),
    device.createRenderPipelineAsync({
      layout: "auto",
      vertex: { module, entryPoint: "corner" },
      fragment: { module, entryPoint: "color", targets: [{ format }] },
    }),
  ]);
  const params = await gpu.createBuffer("heat map params", 16, UNIFORM | COPY_DST);
  const heat = await gpu.createBuffer("heat map", 4 * 256 * 256, STORAGE);
  return { canvas, context, weigh, color, params, heat };
}

const bind = (
  device: GPUDevice,
  pipeline: GPUComputePipeline | GPURenderPipeline,
  resources: readonly GPUBufferBinding[],
): GPUBindGroup =>
  device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: resources.map((resource, binding) => ({ binding, resource })),
  });
