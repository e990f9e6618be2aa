// What browser.test.ts runs in a page: functions that take and return what can be sent there and back.
import { openGpu } from "../../browser.ts";
import type { LoadOptions, NetDefinition } from "../../engine/definition.ts";
import type { Gpu } from "../../engine/gpu.ts";
import type { Tensor } from "../../engine/ground/tensor.ts";
import type { Image } from "../../engine/image/image.ts";
import type { Picture } from "../../engine/image/picture.ts";
import { IMAGENET } from "../../engine/image/transforms.ts";
import type { Net, Prediction } from "../../engine/net.ts";
import { openUrl } from "../../engine/web/files.ts";
import { openSafetensors } from "../../engine/weights/safetensors.ts";
import { leakyRelu } from "../../kernels/elementwise/leaky_relu.ts";
import { flatten } from "../../kernels/flatten.ts";
import { imagenet } from "../../nets/imagenet.ts";
import type { NetsFile } from "../../tools/hashinit.ts";
import { openWorkerGpu, type WorkerGpu } from "../../worker.ts";
import { type CaseResult, type NetResult, runCase, runNet } from "../conformance/conformance.ts";
import { trainOnNoise } from "./training.ts";

/** How something failed. */
export interface Failure {
  readonly kind: string;
  readonly code?: string;
  readonly message: string;
}

const failure = (work: Promise<unknown>): Promise<Failure> =>
  work.then(
    () => ({ kind: "none", message: "nothing was thrown" }),
    (error) => ({ kind: error.constructor.name, code: error.code, message: error.message }),
  );

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function withGpu<T>(use: (gpu: Gpu) => Promise<T>): Promise<T> {
  const gpu = await openGpu();
  try {
    return await use(gpu);
  } finally {
    gpu.close();
  }
}

async function withWorker<T>(use: (gpu: WorkerGpu) => Promise<T>, worker?: Worker): Promise<T> {
  const gpu = await openWorkerGpu({ worker });
  try {
    return await use(gpu);
  } finally {
    gpu.close();
  }
}

/**
 * What the digit is on a GPU of the page's own, by a texture that the page has drawn, read and left there, and by weights
 * that the page has fetched, with a worker and without.
 */
export async function classifyOwn(weights: string): Promise<Record<string, number>> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = (await adapter?.requestDevice()) as GPUDevice;
  const gpu = await openGpu({ device });
  const bitmap = await createImageBitmap(await (await fetch("/examples/digits/digit-3-a.png")).blob());
  const net = await gpu.loadNet("lenet5", { weights: await fetch(weights) });
  const { COPY_DST, COPY_SRC, TEXTURE_BINDING, RENDER_ATTACHMENT } = GPUTextureUsage;
  const usage = COPY_DST | COPY_SRC | TEXTURE_BINDING | RENDER_ATTACHMENT;
  const texture = device.createTexture({ size: [bitmap.width, bitmap.height], format: "bgra8unorm", usage });
  device.queue.copyExternalImageToTexture({ source: bitmap }, { texture }, [bitmap.width, bitmap.height]);
  const [byTexture] = await net.classify(texture);

  const { probabilities } = await net.run(bitmap, { location: "gpu" });
  const staging = device.createBuffer({ size: 40, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  gpu.close();
  const isGone = await failure(net.run(bitmap));
  // The page's device has outlived its Gpu, whose buffers have not.
  device.queue.writeBuffer(staging, 0, new Float32Array(10));
  await staging.mapAsync(GPUMapMode.READ);
  device.destroy();
  const inWorker = await withWorker(async (worker) => {
    const remote = await worker.loadNet("lenet5", { weights: (await fetch(weights)).body ?? undefined });
    const onDevice = await failure(remote.run(bitmap, { location: "gpu" } as object));
    const [best] = await remote.classify(bitmap);
    return { worker: best.index, refused: Number(onDevice.code === "USAGE") };
  });
  return {
    texture: byTexture.index,
    classes: probabilities.shape[1],
    gone: Number(isGone.code === "DISPOSED"),
    ...inWorker,
  };
}

/** What the library says of weights on another site. */
export const refuseForeign = (url: string): Promise<Failure> =>
  withGpu((gpu) => failure(gpu.loadNet("lenet5", { weights: url })));

/** What the digit is by the library of another site, such as a CDN, in a worker. */
export async function classifyByCdn(origin: string): Promise<Prediction[]> {
  const cdn: typeof import("../../worker.ts") = await import(`${origin}/dist/worker.js`);
  const gpu = await cdn.openWorkerGpu();
  try {
    const net = await gpu.loadNet("lenet5");
    return await net.classify(await (await fetch("/examples/digits/digit-3-a.png")).blob(), { top: 1 });
  } finally {
    gpu.close();
  }
}

const ownWorker = (): Worker => new Worker("/dist/tests/browser/worker.js", { type: "module" });

const readJson = async (path: string) => (await fetch(path)).json();

// Conformance

export const runCases = (): Promise<{ adapter: string; results: CaseResult[] }> =>
  withGpu(async (gpu) => {
    const { cases } = await readJson("/tests/goldens/cases.json");
    const tensors = await openSafetensors(await openUrl("/tests/goldens/cases.safetensors", {}));
    const results: CaseResult[] = [];
    for (const item of cases) results.push(await runCase(gpu, item, { cases, tensors }));
    return { adapter: gpu.adapter.name, results };
  });

export const runNetOf = (key: string): Promise<NetResult> =>
  withGpu(async (gpu) => {
    const file: NetsFile = await readJson("/tests/goldens/nets.json");
    return runNet(gpu, file, key);
  });

// Pictures

const SIDE = 64;

/** Its logits are its input. */
const identity: NetDefinition = {
  ...imagenet,
  name: "identity",
  options: { inChannels: 3, numClasses: 3 * SIDE * SIDE },
  imageSize: [SIDE, SIDE],
  build: (x) => leakyRelu(flatten(x), { negativeSlope: 1 }),
  weights: {},
};

/** What identity makes of pixels on the CPU. */
const prepared = async (pixels: Image): Promise<Float32Array> => identity.preprocess(pixels, [3, SIDE, SIDE]);

/** What is drawn on in ordinary memory: Chromium loses pixels when it moves a canvas to a software adapter and back. */
const contextOf = (canvas: HTMLCanvasElement): CanvasRenderingContext2D =>
  canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;

/** A canvas of noise on slopes. */
function noise(width = 300, height = 200): HTMLCanvasElement {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pixels = new ImageData(width, height);
  for (let i = 0; i < pixels.data.length; i++) {
    const x = (i >> 2) % width;
    pixels.data[i] = i % 4 === 3 ? 255 : (x / width) * 200 + ((Math.imul(i, 2654435761) >>> 24) & 63);
  }
  contextOf(canvas).putImageData(pixels, 0, 0);
  return canvas;
}

const pixelsOf = (canvas: HTMLCanvasElement): ImageData =>
  contextOf(canvas).getImageData(0, 0, canvas.width, canvas.height);

const fileOf = (canvas: HTMLCanvasElement): Promise<Blob> =>
  new Promise((resolve) => canvas.toBlob((blob) => resolve(blob as Blob)));

async function loadImage(src: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}

async function play(canvas: HTMLCanvasElement): Promise<HTMLVideoElement> {
  const video = Object.assign(document.createElement("video"), { muted: true, srcObject: canvas.captureStream(30) });
  const drawing = setInterval(() => contextOf(canvas).drawImage(noise(), 0, 0), 30);
  await video.play();
  clearInterval(drawing);
  return video;
}

/** Largest difference to the CPU's transforms by the kind of picture, in units of pixel values from 0 to 1. */
export const comparePictures = (): Promise<Record<string, number>> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet(identity, { weights: {} });
    const canvas = noise();
    const offscreen = new OffscreenCanvas(canvas.width, canvas.height);
    offscreen.getContext("2d")?.drawImage(canvas, 0, 0);
    const frame = new VideoFrame(canvas, { timestamp: 0 });
    const pictures: Record<string, Picture> = {
      ImageData: pixelsOf(canvas),
      HTMLCanvasElement: canvas,
      OffscreenCanvas: offscreen,
      ImageBitmap: await createImageBitmap(canvas),
      HTMLImageElement: await loadImage(canvas.toDataURL()),
      VideoFrame: frame,
      HTMLVideoElement: await play(noise()),
      Blob: await fileOf(canvas),
    };
    const want = await prepared(pixelsOf(canvas));
    const differences: Record<string, number> = {};
    for (const [kind, picture] of Object.entries(pictures)) {
      const { data } = (await net.run(picture)).logits;
      differences[kind] = data.reduce((most, value, i) => Math.max(most, Math.abs(value - want[i]) * 0.225), 0);
    }
    frame.close();
    return differences;
  });

const red = [230, 30, 20];
const blue = [10, 60, 200];

/** 40 x 30 pixels of red, with blue in the lower right quarter, in a file. */
async function quarters(type?: string): Promise<Blob> {
  const canvas = new OffscreenCanvas(40, 30);
  const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
  context.fillStyle = `rgb(${red})`;
  context.fillRect(0, 0, 40, 30);
  context.fillStyle = `rgb(${blue})`;
  context.fillRect(20, 15, 20, 15);
  return canvas.convertToBlob({ type });
}

async function shown(attributes: Partial<HTMLImageElement>): Promise<HTMLImageElement> {
  const image = Object.assign(new Image(), attributes);
  await image.decode();
  return image;
}

/** What a net sees in the corners of a picture, as bytes: upper left, lower right. */
async function cornersOf(net: { run: Net["run"] }, picture: Picture, options: object = {}): Promise<number[][]> {
  const { data } = (await net.run(picture, options)).logits;
  const { mean, std } = IMAGENET;
  const at = (i: number) => mean.map((m, c) => Math.round((data[c * SIDE ** 2 + i] * std[c] + m) * 255));
  return [at(0), at(SIDE ** 2 - 1)];
}

/** The corners of an img that has another density than its file. */
export const runDensities = (): Promise<Record<string, number[][]>> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet(identity, { weights: {} });
    const url = URL.createObjectURL(await quarters());
    return {
      "1x": await cornersOf(net, await shown({ src: url })),
      "2x": await cornersOf(net, await shown({ srcset: `${url} 2x` })),
      "40w": await cornersOf(net, await shown({ sizes: "10px", srcset: `${url} 40w` })),
    };
  });

/** A JPEG that wants to be turned by 180 degrees, an alpha of 1 of 255, and ImageData of float16. */
export const runFiles = (png: readonly number[]): Promise<Record<string, number[][]> & { float16: Failure }> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet(identity, { weights: {} });
    const jpeg = await quarters("image/jpeg");
    const exif = [
      0xff,
      0xe1,
      0,
      34,
      ...new TextEncoder().encode("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03"),
    ];
    const turned = new Blob([jpeg.slice(0, 2), Uint8Array.from([...exif, ...Array(6).fill(0)]), jpeg.slice(2)]);
    const turning = await gpu.loadNet(identity, { weights: {}, orientation: "exif" });
    const half = new ImageData(2, 2, { pixelFormat: "rgba-float16" } as never);
    return {
      "as stored": await cornersOf(net, turned),
      turned: await cornersOf(net, turned, { orientation: "exif" }),
      "turned by the net": await cornersOf(turning, turned),
      "shown by an img": await cornersOf(net, await shown({ src: URL.createObjectURL(turned) })),
      transparent: await cornersOf(net, new Blob([Uint8Array.from(png)])),
      float16: await failure(net.run(half)),
    } as never;
  });

/** Whether elements and pixels in memory that threads share can be sent to a worker, and are copied at once. */
export const shareWithWorker = (): Promise<boolean[]> =>
  withWorker(async (gpu) => {
    const net = await gpu.loadNet("lenet5");
    const digit = pixelsOf(await digitCanvas());
    const pixels = new Uint8Array(sharedOf(digit.data.length), 0, digit.data.length);
    pixels.set(digit.data);
    const elements = new Float32Array(sharedOf(4096), 0, 1024).map((_, i) => Math.sin(i));
    const want = [await net.run(digit), await net.run(elements)];
    const sharedElements = new Float32Array(sharedOf(4096), 0, 1024);
    sharedElements.set(elements);
    const runs = [net.run({ width: digit.width, height: digit.height, data: pixels }), net.run(sharedElements)];
    pixels.fill(0);
    sharedElements.fill(0);
    const got = await Promise.all(runs);
    return got.map(({ logits }, k) => logits.data.every((value, i) => value === want[k].logits.data[i]));
  });

/** Memory of at least so many bytes that threads share, which every page can have. */
const sharedOf = (bytes: number): SharedArrayBuffer => {
  const pages = Math.ceil(bytes / 65_536);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    .buffer as unknown as SharedArrayBuffer;
};

/** Whether a batch of pictures is what they are one by one, with zeros for the one that is missing. */
export const runBatch = (): Promise<{ first: boolean; second: boolean; zeros: boolean; tooMany: Failure }> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet(identity, { weights: {}, batch: 3 });
    const canvases = [noise(), noise(90, 120)];
    const pictures = [canvases[0], pixelsOf(canvases[1])];
    const { data } = (await net.run(pictures)).logits;
    const part = (i: number) => data.subarray(i * 3 * SIDE ** 2, (i + 1) * 3 * SIDE ** 2);
    const isFrom = (i: number, want: Float32Array) => part(i).every((value, k) => Math.abs(value - want[k]) < 1e-5);
    return {
      first: isFrom(0, await prepared(pixelsOf(canvases[0]))),
      second: isFrom(1, await prepared(pixelsOf(canvases[1]))),
      zeros: part(2).every((value) => value === 0),
      tooMany: await failure(net.run([...pictures, ...pictures])),
    };
  });

/** Whether a picture is taken hold of at once, so that its canvas can go on and a frame be closed. */
export const changeAfterwards = (): Promise<boolean> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet(identity, { weights: {} });
    const canvas = noise();
    const frame = new VideoFrame(canvas, { timestamp: 0 });
    const want = await prepared(pixelsOf(canvas));
    const runs = [net.run(canvas), net.run(frame), net.run(pixelsOf(canvas))];
    contextOf(canvas).clearRect(0, 0, canvas.width, canvas.height);
    frame.close();
    net.dispose();
    const results = await Promise.all(runs);
    return results.every(({ logits }) => logits.data.every((value, i) => Math.abs(value - want[i]) < 0.05));
  });

/** Textures and buffers that are left after many frames of a video. */
export const runFrames = (): Promise<{ textures: number; buffers: number }> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet(identity, { weights: {} });
    const create = gpu.device.createTexture.bind(gpu.device);
    let textures = 0;
    gpu.device.createTexture = (descriptor) => {
      const texture = create(descriptor);
      const destroy = texture.destroy.bind(texture);
      textures++;
      texture.destroy = () => {
        textures--;
        destroy();
      };
      return texture;
    };
    const before = gpu.alive.buffers;
    const video = await play(noise());
    for (let i = 0; i < 20; i++) {
      const frame = new VideoFrame(video);
      await Promise.all([net.run(frame), net.run(video)]);
      frame.close();
    }
    await sleep(20);
    return { textures, buffers: gpu.alive.buffers - before };
  });

/** What is said of pictures that cannot be used. */
export const refusePictures = (foreign: string): Promise<Record<string, Failure>> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet(identity, { weights: {} });
    const closed = await createImageBitmap(noise());
    closed.close();
    const tainted = noise();
    contextOf(tainted).drawImage(await loadImage(foreign), 0, 0);
    const { maxTextureDimension2D } = gpu.limits as GPUSupportedLimits;
    const classify = (picture: unknown) => failure(net.classify(picture as Picture));
    const failures = {
      unloaded: await classify(new Image()),
      closed: await classify(closed),
      "no frame": await classify(document.createElement("video")),
      "of another site": await classify(tainted),
      "no image": await classify(new File(["text"], "notes.txt")),
      "too large": await classify(new OffscreenCanvas(maxTextureDimension2D + 1, 1)),
      string: await classify("photo.jpg"),
    };
    await net.run(noise());
    return failures;
  });

// Digits, directly and in a worker

const DIGIT = "/examples/digits/digit-7-a.png";

async function digitCanvas(): Promise<HTMLCanvasElement> {
  const image = await loadImage(DIGIT);
  const canvas = noise(image.width, image.height);
  contextOf(canvas).drawImage(image, 0, 0);
  return canvas;
}

export const readDigit = (): Promise<Prediction> =>
  withGpu(async (gpu) => {
    const net = await gpu.loadNet("lenet5");
    return (await net.classify(await digitCanvas(), { top: 1 }))[0];
  });

interface WorkerDigits {
  readonly adapter: string;
  readonly phases: readonly string[];
  readonly predictions: readonly Prediction[];
  readonly batch: readonly (readonly string[])[];
  readonly features: readonly number[];
  /** Whether logits are those of a GPU in the page. */
  readonly same: boolean;
  readonly untouched: boolean;
  readonly detached: boolean;
  readonly profile: { clock: string; runs: number; steps: readonly string[]; counted: number[] };
  readonly roofline: number;
}

export const digitsInWorker = (): Promise<WorkerDigits> =>
  withWorker(async (gpu) => {
    const phases = new Set<string>();
    const net = await gpu.loadNet("lenet5", { onProgress: ({ phase }) => phases.add(phase) });
    const canvas = await digitCanvas();
    const bitmap = await createImageBitmap(canvas);
    const pictures = [canvas, pixelsOf(canvas), await fileOf(canvas), new VideoFrame(canvas, { timestamp: 0 }), bitmap];
    const predictions: Prediction[] = [];
    for (const picture of pictures) predictions.push((await net.classify(picture, { top: 1 }))[0]);
    const untouched = bitmap.width > 0;
    await net.classify(bitmap, { transfer: [bitmap] });
    const lists = await net.classify([canvas, pixelsOf(canvas)], { top: 2 });
    const input = new Float32Array(32 * 32).map((_, i) => Math.sin(i));
    const run = net.run(input, { features: ["pool1"] });
    const before = input.slice();
    input.fill(Number.NaN);
    const { logits, features } = await run;
    const counted: number[] = [];
    const profile = await net.profile({ runs: 2, onProgress: (ended) => counted.push(ended) });
    const direct = await withGpu(async (own) => (await own.loadNet("lenet5")).run(before));
    const { flops } = await gpu.call("roofline");
    net.dispose();
    return {
      adapter: gpu.adapter.name,
      phases: [...phases],
      predictions,
      batch: lists.map((list) => list.map(({ label }) => label)),
      features: features.pool1.shape,
      same: logits.data.every((value, i) => value === direct.logits.data[i]),
      untouched,
      detached: bitmap.width === 0,
      profile: {
        clock: profile.clock,
        runs: profile.runs.length,
        steps: profile.steps.map(({ kernel }) => kernel),
        counted,
      },
      roofline: flops,
    };
  });

type AnyGpu = Pick<Gpu, "close"> & {
  loadNet(name: string, options?: object): Promise<{ run(input: never): Promise<unknown>; dispose(): void }>;
};

/** How the same mistakes fail in the page and in a worker. */
export async function compareErrors(): Promise<Record<string, { direct: Failure; worker: Failure }>> {
  const mistakes: Record<string, (gpu: AnyGpu) => Promise<unknown>> = {
    "unknown net": (gpu) => gpu.loadNet("lenet6"),
    "unknown option": (gpu) => gpu.loadNet("lenet5", { numClases: 3 }),
    "no weights": (gpu) => gpu.loadNet("resnet18"),
    "a page in place of weights": (gpu) => gpu.loadNet("resnet18", { weights: "/" }),
    "weights that are not there": (gpu) => gpu.loadNet("resnet18", { weights: "nowhere.pth" }),
    "weights of another net": (gpu) =>
      gpu.loadNet("resnet18", { weights: new URL("/nets/weights/lenet5.safetensors", location.href) }),
    "a file that is none": (gpu) => gpu.loadNet("lenet5", { weights: new File(["odd text"], "odd.pth") }),
    "no address": (gpu) => gpu.loadNet("resnet18", { weights: "http://" }),
    "a wrong shape": async (gpu) => (await gpu.loadNet("lenet5")).run(new Float32Array(5) as never),
    "no input": async (gpu) => (await gpu.loadNet("lenet5")).run("photo.jpg" as never),
    "no input at all": async (gpu) => (await gpu.loadNet("lenet5")).run(undefined as never),
    "no picture": async (gpu) => (await gpu.loadNet("lenet5")).run(document.createElement("video") as never),
    "after dispose()": async (gpu) => {
      const net = await gpu.loadNet("lenet5");
      net.dispose();
      return net.run(new Float32Array(1024) as never);
    },
    "after close()": async (gpu) => {
      const net = await gpu.loadNet("lenet5");
      gpu.close();
      return net.run(new Float32Array(1024) as never);
    },
  };
  const results: Record<string, { direct: Failure; worker: Failure }> = {};
  await withGpu((gpu) =>
    withWorker(async (inWorker) => {
      for (const [what, make] of Object.entries(mistakes)) {
        results[what] = { direct: await failure(make(gpu)), worker: await failure(make(inWorker)) };
      }
    }),
  );
  return results;
}

/** What only a worker can refuse, and what methods of its own do. */
export const useOwnMethods = (): Promise<Record<string, unknown>> =>
  withWorker(async (gpu) => {
    const net = await gpu.loadNet("lenet5");
    const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
    document.body.append(canvas);
    const offscreen = canvas.transferControlToOffscreen();
    const counted: number[] = [];
    await gpu.call("paint", [offscreen, "red"], { transfer: [offscreen], onProgress: (i) => counted.push(i) });
    // What the worker has painted is shown with one of the next frames.
    const copy = noise(8, 8);
    for (let frame = 0; frame < 100 && pixelsOf(copy).data[1] !== 0; frame++) {
      await new Promise(requestAnimationFrame);
      contextOf(copy).drawImage(canvas, 0, 0);
    }
    const controller = new AbortController();
    const waiting = failure(gpu.call("waitForEnd", [], { signal: controller.signal }));
    controller.abort(new RangeError("enough"));
    return {
      counted,
      colour: [...pixelsOf(copy).data.subarray(0, 4)],
      shape: await net.call("shapeOf"),
      aborted: await waiting,
      unknown: await failure(gpu.call("nothing")),
      odd: await failure(gpu.call("fail")),
      unsent: await failure(gpu.call("giveFunction")),
      "not sendable": await failure(gpu.loadNet("lenet5", { weights: { a: () => {} } as never })),
      "progress that throws": await failure(
        gpu.call("paint", [undefined, "red"], {
          onProgress() {
            throw new RangeError("thrown by onProgress");
          },
        }),
      ),
      after: (await net.classify(await digitCanvas()))[0].label,
    };
  }, ownWorker());

// Weights

/** Loads a net from an address, aborting when the first bytes are there; and how long it then took to end. */
export async function abortDownload(inWorker: boolean, url: string): Promise<Failure & { ms: number }> {
  const load = async (gpu: Pick<Gpu, "loadNet"> | WorkerGpu) => {
    const controller = new AbortController();
    let start = 0;
    const options: LoadOptions & Record<string, unknown> = {
      weights: url,
      signal: controller.signal,
      onProgress({ phase, loaded }) {
        if (phase !== "download" || loaded === 0 || start) return;
        start = performance.now();
        controller.abort(new RangeError("enough"));
      },
    };
    const failed = await failure(gpu.loadNet("resnet18", options));
    return { ...failed, ms: performance.now() - start };
  };
  return inWorker ? withWorker(load) : withGpu(load);
}

/** Loads a net from its address twice, then from a file: the logits of each. */
export const loadCached = (url: string): Promise<number[][]> =>
  withWorker(async (gpu) => {
    const file = new File([await (await fetch("/nets/weights/lenet5.safetensors")).blob()], "lenet5.safetensors");
    const logits: number[][] = [];
    for (const weights of [url, url, file]) {
      const net = await gpu.loadNet("lenet5", { weights });
      logits.push([...(await net.run(new Float32Array(1024))).logits.data]);
      net.dispose();
    }
    return logits;
  });

/** Two nets that load at once where nothing can be kept, since the site has used up its storage. */
export async function loadWithoutStorage(): Promise<string[]> {
  const { put } = Cache.prototype;
  Cache.prototype.put = () => Promise.reject(new DOMException("no room", "QuotaExceededError"));
  try {
    return await withGpu(async (gpu) => {
      const weights = `/nets/weights/lenet5.safetensors?v=${Math.random()}`;
      const nets = await Promise.all([1, 2].map((batch) => gpu.loadNet("lenet5", { weights, batch })));
      const canvas = await digitCanvas();
      return Promise.all(nets.map(async (net) => (await net.classify(canvas))[0].label));
    });
  } finally {
    Cache.prototype.put = put;
  }
}

// Losses

/** Logits that must be the same whatever becomes of the device. */
const logitsOf = async (net: { run(x: Float32Array): Promise<{ logits: Tensor }> }): Promise<number[]> => [
  ...(await net.run(new Float32Array(1024).fill(0.3))).logits.data,
];

/** What came of losses: those that were told, what a net computes, and what it computed while devices were lost. */
interface Losses {
  readonly lost: readonly string[];
  readonly wanted: readonly number[];
  readonly got: readonly (readonly number[])[];
}

/** Loses the devices of GPUs, three of each, while a net runs on them; in the page, or each in a worker. */
export async function loseDevices(inWorker: boolean, gpus: number): Promise<Losses> {
  const lost: string[] = [];
  const got: number[][] = [];
  let wanted: number[] = [];
  const onLost = ({ code }: { readonly code: string }) => lost.push(code);
  for (let i = 0; i < gpus; i++) {
    const gpu = inWorker ? await openWorkerGpu({ worker: ownWorker(), onLost }) : await openGpu({ onLost });
    const net = await gpu.loadNet("lenet5");
    if (i === 0) wanted = await logitsOf(net);
    for (let loss = 0; loss < 3; loss++) {
      const running = logitsOf(net);
      if ("call" in gpu) await gpu.call("loseDevice");
      else gpu.device.destroy();
      got.push(await running, await logitsOf(net));
    }
    net.dispose();
    gpu.close();
  }
  return { lost, wanted, got };
}

/** How many steps of a net are timed in a worker, as the first thing after a loss. */
export const profileAfterLoss = (): Promise<number> =>
  withWorker(async (gpu) => {
    const net = await gpu.loadNet("lenet5");
    await gpu.call("loseDevice");
    return (await net.profile({ runs: 1 })).steps.length;
  }, ownWorker());

/** A worker that ends while a net runs in it, and its successor. */
export async function loseWorker() {
  const lost: string[] = [];
  const worker = ownWorker();
  const gpu = await openWorkerGpu({ worker, onLost: ({ code, message }) => lost.push(`${code} ${message}`) });
  const net = await gpu.loadNet("lenet5");
  const waiting = [failure(gpu.call("waitForEnd")), failure(net.run(new Float32Array(1024)))];
  worker.terminate();
  const running = await Promise.all(waiting);
  while (lost.length === 0) await sleep(5);
  const later = await failure(net.run(new Float32Array(1024)));
  net.dispose();
  gpu.close();
  const label = await withWorker(async (next) => {
    return (await (await next.loadNet("lenet5")).classify(await digitCanvas()))[0].label;
  });
  return { lost, running, later, label };
}

/** Browsers without WebGPU, and those that give no adapter. */
export async function refuseDevices(): Promise<Failure[]> {
  const { gpu } = navigator;
  const failures: Failure[] = [];
  for (const value of [undefined, { requestAdapter: async () => null }]) {
    Object.defineProperty(navigator, "gpu", { value, configurable: true });
    failures.push(await failure(openGpu()));
  }
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  return failures;
}

/** Workers that cannot be opened. */
export async function refuseWorkers(): Promise<Record<string, Failure>> {
  const aborted = AbortSignal.abort(new RangeError("enough"));
  const missing = new Worker("/nowhere.js", { type: "module" });
  const ending = () => new Worker("/dist/tests/browser/ending_worker.js", { type: "module" });
  return {
    missing: await failure(openWorkerGpu({ worker: missing })),
    ending: await failure(openWorkerGpu({ worker: ending() })),
    option: await failure(openWorkerGpu({ nets: {} } as never)),
    aborted: await failure(openWorkerGpu({ signal: aborted })),
  };
}

/** Watches how long the page is busy at a time, until it is asked. */
function watchThread() {
  const tasks: number[] = [];
  const take = (entries: PerformanceEntryList) => tasks.push(...entries.map(({ duration }) => duration));
  const observer = new PerformanceObserver((list) => take(list.getEntries()));
  observer.observe({ type: "longtask" });
  let [last, ticks, longestGap] = [performance.now(), 0, 0];
  const timer = setInterval(() => {
    const now = performance.now();
    longestGap = Math.max(longestGap, now - last);
    last = now;
    ticks++;
  });
  return async () => {
    clearInterval(timer);
    await sleep(0);
    take(observer.takeRecords());
    observer.disconnect();
    /** The longest task, as far as the browser counts them: from 50 ms on. */
    return { longestTask: Math.max(0, ...tasks), longestGap, ticks };
  };
}

// Training

export const trainInPage = (): Promise<number[]> => withGpu((gpu) => trainOnNoise(gpu));

/** The same in a worker, what it tells on the way, and how long the page was busy at a time meanwhile. */
export const trainInWorker = () =>
  withWorker(async (gpu) => {
    const told: number[] = [];
    const watched = watchThread();
    const losses = await gpu.call<number[]>("train", [], { onProgress: (loss: number) => told.push(loss) });
    return { losses, told, ...(await watched()) };
  }, ownWorker());

/** Loads a large net in a worker and runs it, and measures how long the page was busy at a time. */
export const measureResponsiveness = (name: string, weights: string) =>
  withWorker(async (gpu) => {
    const picture = noise(640, 480);
    const watched = watchThread();
    const start = performance.now();
    const net = await gpu.loadNet(name, { weights, imageSize: 64 });
    const loaded = performance.now();
    const [{ probability }] = await net.classify(picture);
    const end = performance.now();
    return { loadMs: loaded - start, runMs: end - loaded, probability, ...(await watched()) };
  });
