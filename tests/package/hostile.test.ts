// What no program means to give: whoever asks gets an error of the library's, short and with a code.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Graph } from "../../engine/graph/graph.ts";
import type { AnyKernel } from "../../engine/graph/kernel.ts";
import {
  arraysCheckpoint,
  decodeImage,
  flatten,
  maxPool2d,
  openCheckpoint,
  openGpu,
  preprocess,
  resizeImage,
  ShadenetError,
  tensor,
  tune,
} from "../../index.ts";
import * as kernels from "../../kernels/index.ts";
import { references } from "../../kernels/references.ts";
import { int, pick } from "../harness.ts";

const circular: Record<string, unknown> = {};
circular.self = circular;

const HOSTILE: readonly unknown[] = [
  ...[undefined, null, 0, -1, 1.5, NaN, 2 ** 53, "", "x".repeat(1e5), true, 5n, Symbol("s")],
  ...[[], [1], [null], new Array(5), {}, circular, Object.create(null), /x/, new Map(), new Date(NaN), () => 1],
  ...[new Float32Array(4), new Float64Array(4), new Uint8Array(3), new URL("file:///none")],
  ...[{ width: 1e9, height: 2, data: new Uint8Array(8) }, { width: 2, height: 2, data: [1] }, { data: null }],
  ...[
    { shape: [2, 2], data: new Float32Array(3) },
    { shape: 5, data: new Float32Array(3) },
  ],
  ...[
    { kernel: -1 },
    { kernel: 1e9 },
    { batch: 1e9 },
    { imageSize: [1] },
    { variants: 5 },
    { passes: 5 },
    { dtype: 5 },
  ],
  ...[{ labels: 5 }, { transforms: 5 }, { features: 5 }, { features: ["x"] }, { top: -1 }, { weights: 5 }],
  ...[{ signal: 5 }, { onProgress: 5 }, { onLost: 5 }, { powerPreference: Symbol("s") }, { limits: 5 }],
];

const gpu = await openGpu();
const net = await gpu.loadNet("lenet5");
test.after(() => gpu.close());

type Hostile = (...args: unknown[]) => unknown;

const CALLS: Readonly<Record<string, Hostile>> = {
  arraysCheckpoint: arraysCheckpoint as Hostile,
  decodeImage: decodeImage as Hostile,
  openCheckpoint: openCheckpoint as Hostile,
  openGpu: async (options) => (await openGpu(options as object)).close(),
  preprocess: preprocess as Hostile,
  resizeImage: resizeImage as Hostile,
  tensor: tensor as Hostile,
  tune: tune as Hostile,
  maxPool2d: maxPool2d as unknown as Hostile,
  flatten: flatten as unknown as Hostile,
  reshape: kernels.reshape as unknown as Hostile,
  "gpu.eager": (...args) => (gpu.eager as Hostile).apply(gpu, args),
  "gpu.loadNet": (...args) => (gpu.loadNet as Hostile).apply(gpu, args),
  "net.run": (...args) => (net.run as Hostile).apply(net, args),
  "net.classify": (...args) => (net.classify as Hostile).apply(net, args),
};

/** Asserts that it is an error of the library's, and short. */
function assertSound(error: unknown, what: string): void {
  const { name: kind, message, stack } = error as Error;
  assert.ok(error instanceof ShadenetError, `${what}: ${kind}: ${message.slice(0, 200)} ${stack?.slice(0, 600)}`);
  assert.ok(error.code);
  assert.ok(message.length < 1000, `${what}: ${message.length} characters`);
}

const operators = Object.values<object>(kernels).filter((each): each is AnyKernel => "options" in each);

test(`${operators.length} operators with hostile values of every option`, () => {
  assert.ok(operators.length > 20);
  for (const kernel of operators) {
    const { shapes, options } = references[kernel.name].example;
    for (const option of Object.keys(kernel.options)) {
      for (const value of HOSTILE) {
        const graph = new Graph();
        const values = Object.entries(shapes).map(([name, shape]) => graph.input(name, shape));
        try {
          kernel(...values, { ...options, [option]: value });
        } catch (error) {
          assertSound(error, `${kernel.name} with another ${option}`);
        }
      }
    }
  }
});

for (const [name, call] of Object.entries(CALLS)) {
  test(`${name}: 60 calls with hostile arguments`, async () => {
    for (let i = 0; i < 60; i++) {
      // Every value comes first once.
      const args = [HOSTILE[i % HOSTILE.length], ...Array.from({ length: int(0, 2) }, () => pick(...HOSTILE))];
      try {
        await call(...args);
      } catch (error) {
        assertSound(error, name);
      }
    }
  });
}

test.run();
