// Attention as ViT and Swin have it, built of operators, against loops over the formulas in float64.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { deriveParam, Graph, paramShapes } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import { sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import { runOnce } from "../../engine/model.ts";
import { add, linear, matmul, permute, reshape, roll, slice, softmax } from "../../kernels/index.ts";
import { assertClose, int, open, pick, randomTensor, randomTensors } from "../harness.ts";

const gpu = await open();

/** Attention of the rows of x [B, L, E] to each other, with the parameters of torch.nn.MultiheadAttention. */
function attend(x: Value, heads: number, biased = (logits: Value) => logits): Value {
  const { graph, shape } = x;
  const [batch, length, size] = shape;
  const project = (name: string, input: Value, to: number) =>
    linear(input, graph.param(`${name}_weight`, [to, size]), graph.param(`${name}_bias`, [to]));
  const split = reshape(project("in_proj", x, 3 * size), { shape: [batch, length, 3, heads, -1] });
  const parts = permute(split, { dims: [2, 0, 3, 1, 4] });
  const [query, key, value] = [0, 1, 2].map((i) =>
    reshape(slice(parts, { dim: 0, start: i, end: i + 1 }), { shape: [batch, heads, length, -1] }),
  );
  const logits = matmul(query, permute(key, { dims: [0, 1, 3, 2] }), { scale: Math.sqrt(heads / size) });
  const mixed = matmul(softmax(biased(logits)), value);
  return project("out_proj", reshape(permute(mixed, { dims: [0, 2, 1, 3] }), { shape }), size);
}

type Tensors = Readonly<Record<string, Tensor>>;

/**
 * The same for each of `groups`, lists of pixels that see each other: for a pixel, softmax(q k / sqrt(d) + bias) v over
 * its group, by A. Vaswani et al.: "Attention is all you need", 2017.
 */
function attendInFloat64(
  { x, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias }: Tensors,
  heads: number,
  groups: readonly (readonly number[])[],
  bias: (head: number, to: number, from: number) => number = () => 0,
): Float64Array {
  const size = x.shape[x.shape.length - 1];
  const depth = size / heads;
  const project = (row: ArrayLike<number>, w: Tensor, b: Tensor) =>
    Array.from(b.data, (term, o) => {
      let sum = term;
      for (let k = 0; k < size; k++) sum += row[k] * w.data[o * size + k];
      return sum;
    });
  const rows = Array.from({ length: x.data.length / size }, (_, r) =>
    project(x.data.subarray(r * size, (r + 1) * size), in_proj_weight, in_proj_bias),
  );
  const y = new Float64Array(x.data.length);
  for (const group of groups) {
    for (const to of group) {
      const mixed = new Float64Array(size);
      for (let head = 0; head < heads; head++) {
        const weights = group.map((from) => {
          let logit = 0;
          for (let k = head * depth; k < (head + 1) * depth; k++) logit += rows[to][k] * rows[from][size + k];
          return Math.exp(logit / Math.sqrt(depth) + bias(head, to, from));
        });
        const sum = weights.reduce((a, b) => a + b);
        group.forEach((from, i) => {
          for (let k = head * depth; k < (head + 1) * depth; k++) {
            mixed[k] += (weights[i] / sum) * rows[from][2 * size + k];
          }
        });
      }
      y.set(project(mixed, out_proj_weight, out_proj_bias), to * size);
    }
  }
  return y;
}

const range = (count: number, first = 0): number[] => Array.from({ length: count }, (_, i) => first + i);

test("10 random calls of multi-head attention", async () => {
  for (let i = 0; i < 10; i++) {
    const [batch, length, heads] = [int(1, 3), int(1, 20), int(1, 4)];
    const graph = new Graph();
    graph.name("y", attend(graph.input("x", [batch, length, heads * int(1, 9)]), heads));
    const tensors = randomTensors(graph);
    const { y } = await runOnce(gpu, graph, tensors, ["y"]);
    const images = range(batch).map((image) => range(length, image * length));
    const want = attendInFloat64(tensors, heads, images);
    const largest = want.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    assertClose(y, { shape: y.shape, data: want }, () => 2e-5 * largest);
  }
});

/** Where in the table of (2 window - 1)^2 relative positions that of two pixels of a window stands. */
function relativePosition(window: number, to: number, from: number): number {
  const row = Math.floor(to / window) - Math.floor(from / window) + window - 1;
  return row * (2 * window - 1) + (to % window) - (from % window) + window - 1;
}

/** Attention in shifted windows of an image [B, H, W, C]: Z. Liu et al.: "Swin transformer", 2021. */
function attendInWindows(x: Value, heads: number, window: number, shift: number): Value {
  const { graph, shape } = x;
  const [batch, height, width, size] = shape;
  const [rows, columns, pixels] = [height / window, width / window, window ** 2];
  const windows = rows * columns;
  const table = graph.param("table", [(2 * window - 1) ** 2, heads]);
  const bias = deriveParam(table, "by relative position", [heads, pixels, pixels], (values) =>
    Float32Array.from({ length: heads * pixels ** 2 }, (_, i) => {
      const place = relativePosition(window, Math.floor(i / pixels) % pixels, i % pixels);
      return values[place * heads + Math.floor(i / pixels ** 2)];
    }),
  );
  const mask = graph.param("mask", [windows, 1, pixels, pixels]);
  const split = { shape: [batch, rows, window, columns, window, size] };
  const shifted = shift > 0 ? roll(x, { shifts: [-shift, -shift], dims: [1, 2] }) : x;
  const inWindows = permute(reshape(shifted, split), { dims: [0, 1, 3, 2, 4, 5] });
  const y = attend(reshape(inWindows, { shape: [-1, pixels, size] }), heads, (logits) => {
    const masked = add(reshape(add(logits, bias), { shape: [batch, windows, heads, pixels, pixels] }), mask);
    return reshape(masked, { shape: logits.shape });
  });
  const apart = reshape(y, { shape: [batch, rows, columns, window, window, size] });
  const image = reshape(permute(apart, { dims: [0, 1, 3, 2, 4, 5] }), { shape });
  return shift > 0 ? roll(image, { shifts: [shift, shift], dims: [1, 2] }) : image;
}

test("5 random calls of attention in shifted windows, with a bias that is derived from a table", async () => {
  for (let i = 0; i < 5; i++) {
    const [batch, window, rows, columns, heads] = [int(1, 2), int(2, 4), int(1, 3), int(1, 3), int(1, 3)];
    const shift = pick(0, int(1, window - 1));
    const [height, width] = [rows * window, columns * window];
    const graph = new Graph();
    const x = graph.input("x", [batch, height, width, heads * int(1, 5)]);
    graph.name("y", attendInWindows(x, heads, window, shift));
    // What is derived is no tensor of the checkpoint.
    const params = paramShapes(graph);
    assert.equal(params.get("table"), [(2 * window - 1) ** 2, heads]);
    const { mask, ...tensors } = Object.fromEntries([
      ["x", randomTensor(x.shape)],
      ...[...params].map(([name, shape]) => [name, randomTensor(shape)] as const),
    ]);
    // Pixels of the rolled image that were neighbours before: of the same side of its seams.
    const side = (p: number, length: number) => (shift > 0 && p >= length - shift ? 1 : 0);
    const pixelOf = (w: number, p: number) => ({
      row: Math.floor(w / columns) * window + Math.floor(p / window),
      column: (w % columns) * window + (p % window),
    });
    const regionOf = (w: number, p: number) => {
      const { row, column } = pixelOf(w, p);
      return 2 * side(row, height) + side(column, width);
    };
    const pixels = window ** 2;
    const masked = mask.data.map((_, index) => {
      const [w, to, from] = [Math.floor(index / pixels ** 2), Math.floor(index / pixels) % pixels, index % pixels];
      return regionOf(w, to) === regionOf(w, from) ? 0 : -100;
    });
    const { y } = await runOnce(gpu, graph, { ...tensors, mask: { ...mask, data: masked } }, ["y"]);

    // By pixels of the image as it is: windows that see over its ends are apart there.
    const groups = new Map<string, number[]>();
    const inWindow = new Map<number, number>();
    for (const image of range(batch)) {
      for (const w of range(rows * columns)) {
        for (const p of range(pixels)) {
          const { row, column } = pixelOf(w, p);
          const place = (image * height + ((row + shift) % height)) * width + ((column + shift) % width);
          const key = `${image} ${w} ${regionOf(w, p)}`;
          groups.set(key, [...(groups.get(key) ?? []), place]);
          inWindow.set(place, p);
        }
      }
    }
    const bias = (head: number, to: number, from: number) => {
      const place = relativePosition(window, inWindow.get(to) as number, inWindow.get(from) as number);
      return tensors.table.data[place * heads + head];
    };
    const want = attendInFloat64(tensors, heads, [...groups.values()], bias);
    const largest = want.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    assertClose(y, { shape: y.shape, data: want }, () => 2e-5 * largest);
    assert.is(want.length, sizeOf(x.shape));
  }
});

test.run();
