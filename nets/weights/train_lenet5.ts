/**
 * Trains LeNet-5 on MNIST, on the CPU and from scratch:
 *
 *     node dist/nets/weights/train_lenet5.js [--epochs 24] [--seed 1] [--holdout 0] [--threads 2] [--out FILE]
 *
 * With --holdout N the last N training images are scored after each epoch instead of trained on, and the test images
 * are not read. The same epochs, seed and holdout give the same file, whatever the number of threads: a batch has a
 * fixed number of shards whose gradients are summed in a fixed order, and the distortion of an image depends on nothing
 * but the seed, the epoch and its index. All arithmetic is in doubles, which cost no more than floats in JavaScript and
 * let finite differences check the gradients; the weights are rounded to float32 at the end.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { UsageError } from "../../engine/ground/errors.ts";
import { type Shape, sizeOf, tensor } from "../../engine/ground/tensor.ts";
import { type Digits, digitInputs } from "../../engine/training/mnist.ts";
import { encodeSafetensors } from "../../engine/weights/safetensors.ts";
import { IMAGE, INPUT, MEAN, readMnist, STD } from "./mnist.ts";

const BATCH = 100;
const SHARDS = 4;
const PEAK_RATE = 4e-3;
const WARMUP = 0.1;

// Parameters

const SHAPES: Readonly<Record<string, Shape>> = {
  "conv1.weight": [6, 1, 5, 5],
  "conv1.bias": [6],
  "conv2.weight": [16, 6, 5, 5],
  "conv2.bias": [16],
  "conv3.weight": [120, 16, 5, 5],
  "conv3.bias": [120],
  "linear1.weight": [84, 120],
  "linear1.bias": [84],
  "linear2.weight": [10, 84],
  "linear2.bias": [10],
};
const PARAMETERS = Object.values(SHAPES).reduce((sum, shape) => sum + sizeOf(shape), 0);

/** One view per name into a flat array of all parameters, or of all their gradients. */
function viewsOf(flat: Float64Array): Record<string, Float64Array> {
  let start = 0;
  const views: Record<string, Float64Array> = {};
  for (const [name, shape] of Object.entries(SHAPES)) {
    views[name] = flat.subarray(start, start + sizeOf(shape));
    start += sizeOf(shape);
  }
  return views;
}

/** Uniform weights that keep the variance through tanh layers (Glorot and Bengio, 2010); biases stay 0. */
function initialize(parameters: Float64Array, random: Random): void {
  for (const [name, view] of Object.entries(viewsOf(parameters))) {
    const [outputs, inputs, ...window] = SHAPES[name];
    const bound = Math.sqrt(6 / ((inputs + outputs) * sizeOf(window)));
    if (name.endsWith(".weight")) for (let i = 0; i < view.length; i++) view[i] = random(-bound, bound);
  }
}

// Layers, for one image at a time

/** forward() sets y; backward() takes dy, the gradient of the loss, adds to those of w and b, and sets dx. */
interface Layer {
  readonly y: Float64Array;
  readonly dy: Float64Array;
  forward(x: Float64Array): void;
  backward(x: Float64Array, dx: Float64Array): void;
}
const outputs = (length: number) => ({ y: new Float64Array(length), dy: new Float64Array(length) });

/** A layer's weight and bias, then their gradients. */
type Weights = readonly [w: Float64Array, b: Float64Array, dw: Float64Array, db: Float64Array];

/** 5x5 convolution, stride 1, no padding; x is [channels, size, size]. The five taps of a row stay in registers. */
function conv([w, b, dw, db]: Weights, channels: number, size: number): Layer {
  const n = size - 4;
  const { y, dy } = outputs(b.length * n * n);
  return {
    y,
    dy,
    forward(x) {
      for (let o = 0, tap = 0; o < b.length; o++) {
        y.fill(b[o], o * n * n, (o + 1) * n * n);
        for (let plane = 0; plane < channels; plane++) {
          for (let ky = 0; ky < 5; ky++, tap += 5) {
            const [w0, w1, w2, w3, w4] = [w[tap], w[tap + 1], w[tap + 2], w[tap + 3], w[tap + 4]];
            for (let row = 0; row < n; row++) {
              let i = (plane * size + row + ky) * size;
              let j = (o * n + row) * n;
              for (const end = j + n; j < end; j++, i++) {
                y[j] += w0 * x[i] + w1 * x[i + 1] + w2 * x[i + 2] + w3 * x[i + 3] + w4 * x[i + 4];
              }
            }
          }
        }
      }
    },
    backward(x, dx) {
      dx.fill(0);
      for (let o = 0, tap = 0; o < b.length; o++) {
        for (let j = o * n * n; j < (o + 1) * n * n; j++) db[o] += dy[j];
        for (let plane = 0; plane < channels; plane++) {
          for (let ky = 0; ky < 5; ky++, tap += 5) {
            const [w0, w1, w2, w3, w4] = [w[tap], w[tap + 1], w[tap + 2], w[tap + 3], w[tap + 4]];
            let [g0, g1, g2, g3, g4] = [0, 0, 0, 0, 0];
            for (let row = 0; row < n; row++) {
              let i = (plane * size + row + ky) * size;
              let j = (o * n + row) * n;
              for (const end = j + n; j < end; j++, i++) {
                const d = dy[j];
                g0 += d * x[i];
                g1 += d * x[i + 1];
                g2 += d * x[i + 2];
                g3 += d * x[i + 3];
                g4 += d * x[i + 4];
                dx[i] += d * w0;
                dx[i + 1] += d * w1;
                dx[i + 2] += d * w2;
                dx[i + 3] += d * w3;
                dx[i + 4] += d * w4;
              }
            }
            const g = [g0, g1, g2, g3, g4];
            for (let k = 0; k < 5; k++) dw[tap + k] += g[k];
          }
        }
      }
    },
  };
}

/** y = W x + b. */
function linear([w, b, dw, db]: Weights): Layer {
  const { y, dy } = outputs(b.length);
  return {
    y,
    dy,
    forward(x) {
      for (let o = 0, k = 0; o < y.length; o++) {
        let sum = b[o];
        for (let i = 0; i < x.length; i++, k++) sum += w[k] * x[i];
        y[o] = sum;
      }
    },
    backward(x, dx) {
      dx.fill(0);
      for (let o = 0, k = 0; o < y.length; o++) {
        const d = dy[o];
        db[o] += d;
        for (let i = 0; i < x.length; i++, k++) {
          dw[k] += d * x[i];
          dx[i] += d * w[k];
        }
      }
    },
  };
}

function tanh(length: number): Layer {
  const { y, dy } = outputs(length);
  return {
    y,
    dy,
    forward(x) {
      for (let i = 0; i < length; i++) y[i] = Math.tanh(x[i]);
    },
    backward(_, dx) {
      for (let i = 0; i < length; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
    },
  };
}

/** Means of 2x2 windows, stride 2; x is [channels, size, size]. */
function avgpool(channels: number, size: number): Layer {
  const { y, dy } = outputs((channels * size * size) / 4);
  const n = size / 2;
  /** Where the window of output j starts in x. */
  const start = (j: number) => 2 * size * Math.floor(j / n) + 2 * (j % n);
  return {
    y,
    dy,
    forward(x) {
      for (let j = 0; j < y.length; j++) {
        const i = start(j);
        y[j] = (x[i] + x[i + 1] + x[i + size] + x[i + size + 1]) / 4;
      }
    },
    backward(_, dx) {
      for (let j = 0; j < y.length; j++) {
        const i = start(j);
        dx[i] = dx[i + 1] = dx[i + size] = dx[i + size + 1] = dy[j] / 4;
      }
    },
  };
}

// The net and its loss

function lenet5(parameters: Float64Array, gradients: Float64Array) {
  const [p, g] = [viewsOf(parameters), viewsOf(gradients)];
  const weights = (layer: string): Weights => {
    const [w, b] = [`${layer}.weight`, `${layer}.bias`];
    return [p[w], p[b], g[w], g[b]];
  };
  const layers = [
    ...[conv(weights("conv1"), 1, 32), tanh(6 * 28 * 28), avgpool(6, 28)],
    ...[conv(weights("conv2"), 6, 14), tanh(16 * 10 * 10), avgpool(16, 10)],
    ...[linear(weights("conv3")), tanh(120)], // a 5x5 convolution of 5x5 planes is a linear layer
    ...[linear(weights("linear1")), tanh(84)],
    linear(weights("linear2")),
  ];
  const unused = new Float64Array(INPUT * INPUT); // the gradient of the image itself

  /** The logits of one image [1, 32, 32]. */
  function forward(x: Float64Array): Float64Array {
    return layers.reduce((input, layer) => {
      layer.forward(input);
      return layer.y;
    }, x);
  }

  /** The cross-entropy of softmax for one image; its gradient, which is added, starts as probabilities - one-hot. */
  function backward(x: Float64Array, label: number): number {
    const logits = forward(x);
    const max = Math.max(...logits);
    const exponentials = logits.map((logit) => Math.exp(logit - max));
    const sum = exponentials.reduce((a, b) => a + b);
    layers[layers.length - 1].dy.set(exponentials.map((e, i) => e / sum - (i === label ? 1 : 0)));
    for (let i = layers.length - 1; i > 0; i--) layers[i].backward(layers[i - 1].y, layers[i - 1].dy);
    layers[0].backward(x, unused);
    return max + Math.log(sum) - logits[label];
  }
  return { forward, backward };
}
type Net = ReturnType<typeof lenet5>;

/** Compares the gradients with central differences at some elements of each tensor; throws where they disagree. */
function checkGradients(parameters: Float64Array, random: Random): void {
  const gradients = new Float64Array(PARAMETERS);
  const net = lenet5(parameters, gradients);
  const x = Float64Array.from({ length: INPUT * INPUT }, () => random(-1, 3));
  net.backward(x, 3);
  const views = viewsOf(parameters);
  for (const [name, analytic] of Object.entries(viewsOf(gradients.slice()))) {
    for (let trial = 0; trial < 20; trial++) {
      const i = Math.floor(random(0, analytic.length));
      const value = views[name][i];
      const [above, below] = [1e-5, -1e-5].map((step) => {
        views[name][i] = value + step;
        return net.backward(x, 3);
      });
      views[name][i] = value;
      const numeric = (above - below) / 2e-5;
      if (!(Math.abs(numeric - analytic[i]) < 1e-8 + 1e-6 * Math.abs(numeric))) {
        throw new Error(`the gradient of ${name}[${i}] is ${analytic[i]}, but by differences ${numeric}`);
      }
    }
  }
}

// The optimizer

/** Adam (Kingma and Ba, 2015) with its usual constants. */
function adam(parameters: Float64Array) {
  const [beta1, beta2, eps] = [0.9, 0.999, 1e-8];
  const mean = new Float64Array(PARAMETERS);
  const square = new Float64Array(PARAMETERS);
  let steps = 0;
  return (gradient: Float64Array, rate: number): void => {
    steps++;
    const [unbias1, unbias2] = [1 - beta1 ** steps, 1 - beta2 ** steps];
    for (let i = 0; i < PARAMETERS; i++) {
      mean[i] += (1 - beta1) * (gradient[i] - mean[i]);
      square[i] += (1 - beta2) * (gradient[i] ** 2 - square[i]);
      parameters[i] -= (rate * mean[i]) / unbias1 / (Math.sqrt(square[i] / unbias2) + eps);
    }
  };
}

/** The learning rate at `progress` 0 to 1: a linear rise, then half a cosine down to 0. */
const rateAt = (progress: number): number =>
  PEAK_RATE * Math.min(progress / WARMUP, (1 + Math.cos((Math.PI * (progress - WARMUP)) / (1 - WARMUP))) / 2);

// Random numbers and augmentation

/** Uniform in [low, high). */
type Random = (low: number, high: number) => number;

/** Xorshift (Marsaglia, 2003), started from a state that mixes all the seeds. */
function randomFrom(...seeds: number[]): Random {
  let state = 0x9e3779b9;
  for (const seed of seeds) {
    state = Math.imul(state ^ seed, 0x85ebca6b);
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35);
    state ^= state >>> 16;
  }
  state ||= 1;
  return (low, high) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return low + ((high - low) * (state >>> 0)) / 2 ** 32;
  };
}

function shuffle(order: Int32Array, random: Random): void {
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random(0, i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
}

/**
 * An image distorted as hands and pens differ, as input [32, 32]: its strokes grow or shrink, and its plane is scaled,
 * sheared, rotated and shifted about the centre and bent by a coarse random field.
 */
function augment(image: Uint8Array, random: Random, input: Float64Array): void {
  const side = IMAGE + 2; // a border of background, so that no neighbour is missing
  const plain = new Float64Array(side * side);
  for (let y = 0; y < IMAGE; y++) plain.set(image.subarray(y * IMAGE, (y + 1) * IMAGE), (y + 1) * side + 1);
  const growth = random(-0.4, 0.6);
  const extreme = growth > 0 ? Math.max : Math.min;
  const strokes = plain.slice();
  for (let i = side; i < side * (side - 1); i++) {
    const next = extreme(plain[i], plain[i - 1], plain[i + 1], plain[i - side], plain[i + side]);
    strokes[i] += Math.abs(growth) * (next - plain[i]);
  }

  const angle = (random(-12, 12) * Math.PI) / 180;
  const [cos, sin, shear] = [Math.cos(angle), Math.sin(angle), random(-0.15, 0.15)];
  const [scaleX, scaleY] = [random(0.85, 1.15), random(0.85, 1.15)];
  const [shiftX, shiftY] = [random(-2, 2), random(-2, 2)];
  const [bendX, bendY] = [0, 1].map(() => Float64Array.from({ length: 25 }, () => random(-1.2, 1.2)));
  const centre = (INPUT - 1) / 2;
  for (let v = 0; v < INPUT; v++) {
    for (let u = 0; u < INPUT; u++) {
      const dx = (u - centre) / scaleX + (shear * (v - centre)) / scaleY;
      const dy = (v - centre) / scaleY;
      const x = (side - 1) / 2 + shiftX + cos * dx - sin * dy + bilinear(bendX, 5, u / 8, v / 8);
      const y = (side - 1) / 2 + shiftY + sin * dx + cos * dy + bilinear(bendY, 5, u / 8, v / 8);
      const inside = x >= 0 && y >= 0 && x < side - 1 && y < side - 1;
      input[v * INPUT + u] = ((inside ? bilinear(strokes, side, x, y) / 255 : 0) - MEAN) / STD;
    }
  }
}

/** The value at (x, y) of a square grid of samples. */
function bilinear(grid: Float64Array, side: number, x: number, y: number): number {
  const [left, top] = [Math.floor(x), Math.floor(y)];
  const i = top * side + left;
  const upper = grid[i] + (x - left) * (grid[i + 1] - grid[i]);
  const lower = grid[i + side] + (x - left) * (grid[i + side + 1] - grid[i + side]);
  return upper + (y - top) * (lower - upper);
}

// Data parallelism

/** What all threads see; each shard has its own gradients and its own sum of losses or hits. */
interface Shared {
  readonly seed: number;
  readonly threads: number;
  readonly order: Int32Array;
  readonly parameters: Float64Array;
  readonly gradients: readonly Float64Array[];
  readonly sums: Float64Array;
}

/** With an epoch, train on places `first` to `first + count - 1` of the order; without, score these images. */
interface Job {
  readonly split: "train" | "test";
  readonly first: number;
  readonly count: number;
  readonly epoch?: number;
}

function startThreads(shared: Shared) {
  const workers = Array.from(
    { length: shared.threads },
    (_, thread) => new Worker(new URL(import.meta.url), { workerData: { ...shared, thread } }),
  );
  const ask = (worker: Worker, job: Job) =>
    new Promise((resolve, reject) => {
      worker.removeAllListeners().once("message", resolve).once("error", reject);
      worker.postMessage(job);
    });
  return {
    /** Resolves to the sum of the losses, or to the number of hits. */
    async run(job: Job): Promise<number> {
      await Promise.all(workers.map((worker) => ask(worker, job)));
      return shared.sums.reduce((a, b) => a + b);
    },
    stop: () => Promise.all(workers.map((worker) => worker.terminate())),
  };
}

/** What a thread does: every `threads`-th shard of each job. */
function work({ seed, threads, thread, order, parameters, gradients, sums }: Shared & { thread: number }): void {
  const nets = gradients.map((gradient) => lenet5(parameters, gradient));
  const input = new Float64Array(INPUT * INPUT);
  const splits: Partial<Record<Job["split"], Digits>> = {};

  function loss(net: Net, { images, labels }: Digits, i: number, epoch: number): number {
    augment(images.subarray(i * IMAGE ** 2, (i + 1) * IMAGE ** 2), randomFrom(seed, epoch, i), input);
    return net.backward(input, labels[i]);
  }
  function hit(net: Net, { images, labels }: Digits, i: number): number {
    input.set(digitInputs(images, [i]));
    const logits = net.forward(input);
    return logits.indexOf(Math.max(...logits)) === labels[i] ? 1 : 0;
  }
  parentPort?.on("message", ({ split, first, count, epoch }: Job) => {
    splits[split] ??= readMnist(split);
    const mnist = splits[split];
    const start = (shard: number) => first + Math.floor((count * shard) / SHARDS);
    for (let shard = thread; shard < SHARDS; shard += threads) {
      gradients[shard].fill(0);
      sums[shard] = 0;
      for (let i = start(shard); i < start(shard + 1); i++) {
        sums[shard] += epoch === undefined ? hit(nets[shard], mnist, i) : loss(nets[shard], mnist, order[i], epoch);
      }
    }
    parentPort?.postMessage("done");
  });
}

// Training

async function train(): Promise<void> {
  const { values } = parseArgs({
    options: {
      epochs: { type: "string", default: "24" },
      seed: { type: "string", default: "1" },
      holdout: { type: "string", default: "0" },
      threads: { type: "string", default: String(availableParallelism()) },
      out: { type: "string", default: "nets/weights/lenet5.safetensors" },
    },
  });
  const [epochs, seed, holdout, threads] = [values.epochs, values.seed, values.holdout, values.threads].map(Number);
  if (![epochs, seed, holdout, threads].every(Number.isInteger)) throw new UsageError("the options must be integers");

  const share = (length: number) => new Float64Array(new SharedArrayBuffer(8 * length));
  const images = 60_000 - holdout;
  const order = new Int32Array(new SharedArrayBuffer(4 * images));
  for (let i = 0; i < images; i++) order[i] = i;
  const parameters = share(PARAMETERS);
  const gradients = Array.from({ length: SHARDS }, () => share(PARAMETERS));
  const random = randomFrom(seed);
  initialize(parameters, random);
  checkGradients(parameters, random);

  const { run, stop } = startThreads({ seed, threads, order, parameters, gradients, sums: share(SHARDS) });
  const update = adam(parameters);
  const steps = Math.floor(images / BATCH);
  const started = Date.now();
  for (let epoch = 0; epoch < epochs; epoch++) {
    shuffle(order, random);
    let loss = 0;
    for (let step = 0; step < steps; step++) {
      loss += await run({ split: "train", epoch, first: step * BATCH, count: BATCH });
      const mean = new Float64Array(PARAMETERS);
      for (const gradient of gradients) for (let i = 0; i < PARAMETERS; i++) mean[i] += gradient[i] / BATCH;
      update(mean, rateAt((epoch * steps + step) / (epochs * steps)));
    }
    const hits = holdout > 0 ? await run({ split: "train", first: images, count: holdout }) : 0;
    const accuracy = holdout > 0 ? `, held-out accuracy ${((100 * hits) / holdout).toFixed(2)} %` : "";
    const seconds = Math.round((Date.now() - started) / 1000);
    console.error(`epoch ${epoch + 1}: loss ${(loss / steps / BATCH).toFixed(4)}${accuracy}, ${seconds} s`);
  }

  parameters.set(Float32Array.from(parameters));
  const metadata: Record<string, string> = {
    net: "LeNet-5",
    data: "the 60,000 training images of MNIST (LeCun, Cortes and Burges), distorted at random",
    trainer: `shadenet, nets/weights/train_lenet5.ts --epochs ${epochs} --seed ${seed} --holdout ${holdout}`,
  };
  // Only a final run may see the test images: whoever holds images out is still choosing.
  if (holdout === 0) {
    const hits = await run({ split: "test", first: 0, count: 10_000 });
    metadata.test_accuracy = String(hits / 10_000);
  }
  await stop();
  const tensors = Object.entries(viewsOf(parameters)).map(
    ([name, view]) => [name, tensor(SHAPES[name], view)] as const,
  );
  writeFileSync(values.out, encodeSafetensors(new Map(tensors), metadata));
  console.error(`wrote ${values.out}`, metadata);
}

if (isMainThread) await train();
else work(workerData);
