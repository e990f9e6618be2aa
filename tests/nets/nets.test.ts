import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnyNet, inputShape, type NetDefinition, publishedOf, trace } from "../../engine/definition.ts";
import { openGpu as openWith } from "../../engine/gpu.ts";
import { compile } from "../../engine/graph/compile.ts";
import { type Graph, paramShapes } from "../../engine/graph/graph.ts";
import type { Plan } from "../../engine/graph/plan.ts";
import type { Rates } from "../../engine/graph/variant.ts";
import { GpuError, ShapeError, WeightsError } from "../../engine/ground/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../../engine/ground/tensor.ts";
import { IMAGENET } from "../../engine/image/transforms.ts";
import { checkMemory, nodeHost } from "../../engine/node/dawn.ts";
import type { Checkpoint } from "../../engine/weights/checkpoint.ts";
import { matchCheckpoint } from "../../engine/weights/match.ts";
import { arraysCheckpoint } from "../../engine/weights/sources.ts";
import { concat } from "../../kernels/concat.ts";
import { flatten } from "../../kernels/flatten.ts";
import { mean } from "../../kernels/mean.ts";
import { rates } from "../../kernels/rates.ts";
import { softmax } from "../../kernels/softmax.ts";
import { variants } from "../../kernels/variants.ts";
import { families } from "../../nets/families.ts";
import { nets } from "../../nets/index.ts";
import { linearLayer } from "../../nets/layers.ts";
import { generatedCheckpoint } from "../../tools/hashinit.ts";
import { runNet, runStages } from "../conformance/conformance.ts";
import { readNets } from "../conformance/goldens.ts";
import { inDepth, int, isDeep, open, pick, randomTensor, refuses, someOf, withNet } from "../harness.ts";

// WebGPU's default limits, under which VGG's first linear layer must be split.
const gpu = await open("default");
const goldens = readNets();

const traceNamed = (name: string, given: object = {}) => trace(nets[name], given);

test("what is loaded by name is what there is at once", async () => {
  const load = async (name: string) => {
    const net = families[name];
    return typeof net === "function" ? net() : net;
  };
  assert.equal(Object.keys(families).sort(), Object.keys(nets).sort());
  for (const name of Object.keys(nets)) assert.is(await load(name), nets[name], name);
});

/** A shape of ours as timm has the layer: VGG's first linear layers are convolutions there. */
const TIMM: Readonly<Record<string, (shape: Shape) => [string, Shape]>> = {
  "classifier.0": ([out, ...rest]) => ["pre_logits.fc1", rest.length > 0 ? [out, 512, 7, 7] : [out]],
  "classifier.3": (shape) => ["pre_logits.fc2", shape.length > 1 ? [...shape, 1, 1] : shape],
  "classifier.6": (shape) => ["head.fc", shape],
};

test("what torchvision publishes is taken from the hub in a page, under timm's names", async () => {
  const mirrored = Object.values(nets).filter(({ weights }) => Object.values(weights as object).some((w) => w.mirror));
  assert.is(mirrored.length, 18);
  for (const net of mirrored) {
    for (const [name, { mirror }] of Object.entries<{ mirror?: string }>(net.weights)) {
      if (!mirror) continue;
      const version = name === "IMAGENET1K_V2" ? "tv2" : "tv";
      const hub = `https://huggingface.co/timm/${net.name}.${version}_in1k`;
      assert.is(mirror, `${hub}/resolve/main/model.safetensors`);
    }
    const wanted = paramShapes(trace(net));
    const tensors = [...wanted].map(([name, shape]) => {
      const [, layer, last] = /^(.+)\.(\w+)$/.exec(name) as RegExpExecArray;
      const [other, as] = net.name.startsWith("vgg") && layer in TIMM ? TIMM[layer](shape) : [layer, shape];
      return [`${other}.${last}`, { shape: as, dtype: "F32" }] as const;
    });
    const checkpoint: Checkpoint = {
      name: "model.safetensors",
      tensors: new Map(tensors),
      read: async () => new Float32Array(),
      close: async () => {},
    };
    const matched = await matchCheckpoint(checkpoint, wanted, undefined, net);
    for (const [name, shape] of wanted) assert.equal(matched.tensors.get(name)?.shape, shape);
    assert.is(matched.warnings?.length ?? 0, 0);
  }
});

const countParameters = ({ nodes }: Graph): number =>
  nodes.reduce((sum, node) => {
    const isTrained = node.kind === "param" && !node.from && node.role === "trained";
    return sum + (isTrained ? sizeOf(node.shape) : 0);
  }, 0);

interface Published {
  readonly file?: string;
  readonly hub?: string;
  readonly resize: number;
  readonly crop: number;
  readonly interpolation: string;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly params: number;
}

/** What torchvision publishes, and the two nets of timm that lectures load: by net and name. */
const PUBLISHED: Readonly<Record<string, Readonly<Record<string, Published>>>> = JSON.parse(
  readFileSync(new URL("../../../tests/goldens/torchvision_weights.json", import.meta.url), "utf8"),
);

/** torchvision's name of a net; timm's are marked. */
const published = Object.entries(PUBLISHED).map(([name, table]) => [name.replace(/^timm\//, ""), table] as const);

/** Parameters as the papers count them, of the nets that nobody publishes weights of. */
const OWN: Readonly<Record<string, number>> = {
  lenet5: 61_706,
  alexnet2012: 62_378_344,
  vgg11_lrn: 132_863_336,
  vgg16_c: 133_638_952,
};

test("every net has the parameters that are published", () => {
  assert.equal(Object.keys(nets).sort(), [...Object.keys(OWN), ...published.map(([name]) => name)].sort());
  for (const [name, parameters] of Object.entries(OWN)) {
    assert.is(countParameters(traceNamed(name)), parameters, name);
  }
  for (const [name, table] of published) {
    for (const [weights, { params, crop }] of Object.entries(table)) {
      // Its auxiliary head is counted there.
      const head = name === "inception_v3" ? 3_326_696 : 0;
      const given = { weights };
      // At another size a transformer has other parameters; convolutions have not.
      assert.is(countParameters(traceNamed(name, given)) + head, params, name);
      if (crop !== undefined) assert.equal(inputShape(nets[name], given), [1, 3, crop, crop], `${name} ${weights}`);
    }
  }
});

test("weights by name are torchvision's, with their transforms; DEFAULT is its best", () => {
  for (const [name, table] of published) {
    const { weights, transforms = IMAGENET } = nets[name];
    assert.equal(Object.keys(weights).sort(), Object.keys(table).sort(), name);
    for (const [key, { file, hub, params, ...wanted }] of Object.entries(table)) {
      const { url, sha256, transforms: own } = weights[key];
      assert.is(
        url,
        file
          ? `https://download.pytorch.org/models/${file}`
          : `https://huggingface.co/${hub}/resolve/main/model.safetensors`,
      );
      if (file) assert.is(sha256, /-(\w+)\.pth$/.exec(file)?.[1], file);
      const { resize, crop, mean, std, interpolation = "bilinear" } = own ?? transforms;
      assert.equal(
        { mean, std, interpolation },
        { mean: wanted.mean, std: wanted.std, interpolation: wanted.interpolation },
        name,
      );
      if (file) assert.equal([resize, crop], [wanted.resize, wanted.crop], name);
    }
    const names = Object.keys(table);
    // Those that were trained on more than ImageNet come first, but where there are no others.
    const best = names.filter((each) => !/SWAG|FEATURES/.test(each)).at(-1) ?? names.find((each) => /E2E/.test(each));
    assert.is(publishedOf(nets[name], { weights: "DEFAULT" }), weights[best as string], name);
  }
});

test("names and shapes are those of the reference checkpoints", () => {
  for (const [key, { net, options, tensors }] of Object.entries(goldens.nets)) {
    const shapes = paramShapes(traceNamed(net, options));
    assert.equal([...shapes.keys()].sort(), tensors.map(([name]) => name).sort(), key);
    for (const [name, shape] of tensors) assert.equal(shapes.get(name), shape, `${key}: ${name}`);
  }
});

/** The shapes "CxHxW" of all modules of some nets in PyTorch, by net and dotted name. */
const MODULES: Readonly<Record<string, Readonly<Record<string, string>>>> = JSON.parse(
  readFileSync(new URL("../../../tests/goldens/modules.json", import.meta.url), "utf8"),
);

test("every module of torchvision's and timm's nets is a layer under its name, with its shape", () => {
  for (const [name, modules] of Object.entries(MODULES)) {
    const { names, nodes } = traceNamed(name);
    for (const [module, shape] of Object.entries(modules)) {
      const id = names.get(module);
      assert.is(id === undefined ? "missing" : nodes[id].shape.slice(1).join("x"), shape, `${name}: ${module}`);
    }
  }
});

test("convBias gives every convolution of a ResNet a bias", () => {
  const plain = paramShapes(traceNamed("resnet50"));
  const biased = paramShapes(traceNamed("resnet50", { convBias: true }));
  const convolutions = [...plain].filter(([, shape]) => shape.length === 4);
  const added = [...biased.keys()].filter((name) => !plain.has(name));
  assert.equal(added.sort(), convolutions.map(([name]) => name.replace(/weight$/, "bias")).sort());
});

test("inChannels and numClasses change the first and the last layer", () => {
  for (const name of ["alexnet", "alexnet2012", "vgg11_bn", "vgg16_c", "resnet34", "resnet152"]) {
    const graph = traceNamed(name, { inChannels: 4, numClasses: 7 });
    const [first] = [...paramShapes(graph).values()].filter((shape) => shape.length === 4);
    assert.is(first[1], 4, name);
    assert.equal(graph.nodes[graph.names.get("logits") as number].shape, [1, 7], name);
  }
});

/** The smallest square that PyTorch's nets take, found by running them; 1 x 1 for those whose padding makes up for all. */
const SMALLEST: Readonly<Record<string, number>> = {
  alexnet: 63,
  vgg11: 32,
  vgg16_bn: 32,
  resnet18: 1,
  resnext50_32x4d: 1,
  squeezenet1_0: 21,
  squeezenet1_1: 17,
  densenet121: 29,
  densenet169: 29,
  googlenet: 15,
  inception_v3: 75,
  mobilenet_v2: 1,
  mobilenet_v3_large: 1,
  shufflenet_v2_x0_5: 1,
  mnasnet0_5: 1,
  regnet_x_400mf: 1,
  regnet_y_400mf: 1,
  efficientnet_b0: 1,
  efficientnet_v2_s: 1,
};

test("a size that a net cannot take is refused with the smallest that it takes, which is PyTorch's", () => {
  for (const name of [...someOf(Object.keys(SMALLEST), 6), ...someOf(Object.keys(nets), 3)]) {
    const [own] = nets[name].imageSize;
    const sides = name in SMALLEST ? [SMALLEST[name] - 1, SMALLEST[name]] : [int(1, own), int(own, 2 * own)];
    for (const imageSize of sides.filter((side) => side > 0)) {
      try {
        traceNamed(name, { imageSize });
        assert.ok(!(imageSize < SMALLEST[name]), `${name} takes ${imageSize}`);
      } catch (error) {
        assert.instance(error, ShapeError);
        const message = (error as ShapeError).message;
        const least = Number(/, and takes no square below (\d+) x \1 \(/.exec(message)?.[1]);
        if (name in SMALLEST) assert.is(least, SMALLEST[name], message);
        traceNamed(name, { imageSize: least });
        if (least > 1) assert.throws(() => traceNamed(name, { imageSize: least - 1 }), /below/);
      }
    }
  }
});

/** Kinds of devices: the size of their subgroups, and what is known of their speed. */
const DEVICES: readonly [subgroupSize: number, known?: Rates][] = [
  [0],
  [4],
  [8],
  [32],
  [8, rates.software],
  [0, rates.gpu],
  [0, rates.intel],
  [32, rates.apple],
  [32, rates.nvidia],
];

/** Two images of the largest nets are over WebGPU's default. */
const LIMITS = { maxStorageBufferBindingSize: 2 ** 29, maxBufferSize: 2 ** 29 };

test("activations take at most 1.25 times what is alive at once, on every kind of device", () => {
  let worst = { ratio: 0, what: "" };
  for (const name of someOf(Object.keys(nets), 3)) {
    const batch = pick(1, 2);
    const graph = traceNamed(name, { batch });
    for (const [subgroupSize, known] of someOf(DEVICES, 2)) {
      const software = known === rates.software;
      const traits = { subgroupSize, software, maxBinding: LIMITS.maxBufferSize, rates: known };
      const plan = compile(graph, ["logits", "probabilities"], { traits, limits: LIMITS, variants });
      const bytes = plan.buffers.reduce((sum, size) => sum + size, 0);
      const ratio = bytes / plan.activationLowerBound;
      const device = `subgroups of ${subgroupSize}${known ? ` and ${known.flops / 1e9} GFLOP/s` : ""}`;
      const what = `${name}, batch ${batch}, ${device}: ${ratio.toFixed(3)}`;
      assert.ok(ratio <= 1.25, what);
      if (ratio > worst.ratio) worst = { ratio, what };
    }
  }
  console.log(`note: activations over what is alive at once, at worst ${worst.what}`);
});

/** GPUs by their vendor, with the subgroups that Dawn tells of: AMD's, Intel's and Qualcomm's have several sizes. */
const VENDORS: Readonly<Record<string, number>> = {
  nvidia: 32,
  amd: 0,
  intel: 0,
  apple: 32,
  qualcomm: 0,
  arm: 16,
  other: 0,
};

const planFor = (name: string, vendor: string): Plan => {
  const known = rates[vendor] ?? rates.gpu;
  const traits = { subgroupSize: VENDORS[vendor], software: false, maxBinding: LIMITS.maxBufferSize, rates: known };
  return compile(traceNamed(name), ["logits"], { traits, limits: LIMITS, variants });
};

test("no net runs large layers by the plain kernels, whatever the GPU", () => {
  /** Operations that a plain kernel may have: those of 100,000 weights, and of 10 million multiply-adds. */
  const most: Readonly<Record<string, number>> = { linear: 2e5, conv2d: 2e7 };
  for (const name of someOf(Object.keys(nets), 8)) {
    for (const vendor of isDeep ? Object.keys(VENDORS) : [pick(...Object.keys(VENDORS))]) {
      for (const { kernel, label, flops } of planFor(name, vendor).steps) {
        assert.ok(!(flops > most[kernel]), `${name} on ${vendor}: ${kernel} computes ${label}, ${flops} operations`);
      }
    }
  }
});

test("a ResNet takes few dispatches on a GPU, where each costs as much as a layer", () => {
  const count = (name: string, vendor: string) => planFor(name, vendor).steps.length;
  for (const name of someOf(["resnet18", "resnet50", "alexnet", "vgg16", "mobilenet_v2", "squeezenet1_1"], 1)) {
    const counts = Object.keys(VENDORS).map((vendor) => `${vendor} ${count(name, vendor)}`);
    console.log(`note: dispatches of ${name}: ${counts.join(", ")}`);
  }
  // A step for every convolution, and four more: the layout, both poolings, the last layer.
  assert.ok(count("resnet18", "nvidia") <= 24);
  assert.ok(count("resnet50", "nvidia") <= 57);
});

test("a ResNet needs fewer than ten pipelines on a software adapter, where each takes long to compile", () => {
  const resnets = Object.keys(nets).filter((name) => name.startsWith("resnet"));
  for (const name of someOf(resnets, 2)) {
    for (const subgroupSize of [4, 8]) {
      const traits = { subgroupSize, software: true, maxBinding: 2 ** 27, rates: rates.software };
      const plan = compile(traceNamed(name), ["logits", "probabilities"], { traits, limits: gpu.limits, variants });
      const pipelines = new Set(plan.steps.map(({ code }) => code));
      assert.ok(pipelines.size < 10, `${name} has ${pipelines.size}`);
    }
  }
});

inDepth("alexnet's layers are PyTorch's, by torchvision's names", async () => {
  for (const { stage, errOverRms, limit } of await runStages(gpu, goldens, "alexnet")) {
    assert.ok(errOverRms <= limit, `${stage}: ${errOverRms}, at most ${limit}`);
  }
});

// AlexNet's plain convolutions take SwiftShader a quarter of a minute.
const plain = isDeep || !gpu.traits.software ? "alexnet" : "lenet5";

test(`the logits of ${plain} are PyTorch's with the plain kernels and without passes, too`, async () => {
  const options = { passes: [], variants: { conv2d: "conv2d", linear: "linear" } };
  const { status, message } = await runNet(gpu, goldens, plain, options);
  assert.is(status, "pass", message);
});

test("VGG-16 is planned within WebGPU's default limits", () => {
  const { maxStorageBufferBindingSize } = gpu.device.limits;
  assert.is(maxStorageBufferBindingSize, 128 * 2 ** 20);
  const { params } = compile(traceNamed("vgg16", { imageSize: 32 }), ["logits"], gpu);
  const split = params.filter(({ pieces }) => pieces.length > 1);
  assert.equal(
    split.map(({ name }) => name),
    ["classifier.0.weight"],
  );
  for (const { pieces } of params) {
    for (const count of pieces) assert.ok(4 * count <= maxStorageBufferBindingSize);
  }
});

/**
 * Runs a net with a linear layer that is split, and compares the layer's output, in the rows at both ends and at the seams
 * between the pieces, with sums over what came before it: a layer, or the input itself.
 */
async function checkSeams(
  net: string | AnyNet,
  imageSize: number,
  weights: Checkpoint,
  layer: string,
  before?: string,
): Promise<void> {
  await withNet(gpu, net, { weights, imageSize }, async (net) => {
    const { params } = await net.plan();
    const { pieces } = params.find(({ name }) => name === `${layer}.weight`) ?? { pieces: [] };
    assert.ok(pieces.length > 2);
    const x = randomTensor(net.inputShape);
    const { features } = await net.run(x, { features: before ? [before, layer] : [layer] });
    const input = (before ? features[before] : x).data;
    const bias = await weights.read(`${layer}.bias`);
    const seams = pieces.slice(0, -1).map((_, i) => (pieces[0] / input.length) * (i + 1));
    for (const row of [0, ...seams.flatMap((seam) => [seam - 1, seam]), bias.length - 1]) {
      const w = await weights.read(`${layer}.weight`, row * input.length, input.length);
      let sum = bias[row];
      let terms = Math.abs(sum);
      for (let k = 0; k < w.length; k++) {
        sum += w[k] * input[k];
        terms += Math.abs(w[k] * input[k]);
      }
      const error = Math.abs(features[layer].data[row] - sum);
      assert.ok(error <= 8 * terms * 2 ** -24, `row ${row}: ${error}`);
    }
  });
}

/** A linear layer of 270 MB and nothing else. */
const wide: NetDefinition = {
  name: "wide",
  options: { inChannels: 8, numClasses: 2100 },
  imageSize: [64, 64],
  build: (x, { numClasses }) => linearLayer("fc", flatten(x), numClasses),
  probabilities: (logits) => softmax(logits, { dim: 1 }),
  preprocess: () => new Float32Array(),
  labels: async () => [],
  weights: {},
};

/** 64 images of its input side by side. */
const large: NetDefinition = {
  ...wide,
  name: "large",
  options: { inChannels: 1, numClasses: 2 },
  imageSize: [160, 160],
  build: (x, { numClasses }) => linearLayer("fc", mean(concat(...Array(64).fill(x)), { dims: [2, 3] }), numClasses),
};

inDepth("a linear layer over WebGPU's default limits runs in pieces", async () => {
  // Drawing all its weights would take longer than the rest: no two rows begin at the same place of these.
  const drawn = randomTensor([2 ** 16 - 1]).data;
  const data = new Float32Array(sizeOf([2100, 8 * 64 * 64]));
  for (let at = 0; at < data.length; at += drawn.length) data.set(drawn.subarray(0, data.length - at), at);
  const tensors = { "fc.weight": { shape: [2100, 8 * 64 * 64], data }, "fc.bias": randomTensor([2100]) };
  await checkSeams(wide, 64, arraysCheckpoint(tensors), "fc");
});

if (isDeep) {
  test("VGG-16 runs within WebGPU's default limits", () =>
    checkSeams("vgg16", 32, generatedCheckpoint(goldens, "vgg16"), "classifier.0", "avgpool"));
}

inDepth("a batch that the device cannot bind at once runs in slices", async () => {
  // 24 images of 160 x 160 pixels make 64 channels of 157 MB.
  const weights = {
    "fc.weight": { shape: [2, 64], data: new Float32Array(128).fill(1) },
    "fc.bias": randomTensor([2]),
  };
  await withNet(gpu, large, { weights, batch: 24 }, async (net) => {
    assert.equal((await net.plan()).inputs[0].shape, [12, 1, 160, 160]);
    assert.equal(net.inputShape, [24, 1, 160, 160]);
    const levels = Float32Array.from({ length: 24 * 160 * 160 }, (_, i) => Math.floor(i / 160 / 160));
    const { data } = (await net.run(levels)).logits;
    const bias = weights["fc.bias"].data;
    const want = Array.from(data, (_, i) => 64 * Math.floor(i / 2) + bias[i % 2]);
    assert.ok(
      want.every((value, i) => Math.abs(data[i] - value) < 1e-2),
      `${data}, wanted ${want}`,
    );
  });
});

test("what does not fit is refused in one clear line, and leaves nothing behind", async () => {
  const resnet = generatedCheckpoint(goldens, "resnet18");
  const load = (name: string, options: object) => () => gpu.loadNet(name, { weights: resnet, ...options });
  await refuses(
    load("alexnet2012", { imageSize: 224 }),
    ShapeError,
    "SHAPE",
    /cannot take images of 224 x 224 pixels: it is made for 227 x 227, and takes no square below 227 x 227 \(/,
  );
  await refuses(
    load("resnet18", { inChannels: 1 }),
    WeightsError,
    "WEIGHTS",
    /conv1\.weight is \[64, 3, 7, 7\], wanted \[64, 1, 7, 7\]\); it fits resnet18 by default$/,
  );
  await refuses(load("resnet18", { batch: 0 }), ShapeError, "SHAPE", /batch is 0/);
  await refuses(
    load("resnet34", {}),
    WeightsError,
    "WEIGHTS",
    /\d+ tensors missing \(layer1\.2\.conv1\.weight.*; it fits resnet18$/,
  );
  await refuses(load("alexnet", {}), WeightsError, "WEIGHTS", /missing \(features\.0\.weight.* extra \(conv1\.weight/);
  await refuses(
    load("resnet18", { numClasses: 10 }),
    WeightsError,
    "WEIGHTS",
    /fc\.weight is \[1000, 512\], wanted \[10, 512\].*numClasses/,
  );
  assert.is(gpu.alive.buffers, 0);
});

test("a net over the memory there is says how much it needs", async () => {
  const small = await openWith(
    { nets, variants },
    { ...nodeHost, checkMemory: (bytes) => checkMemory(bytes, 100 * 2 ** 10) },
  );
  try {
    if (!small.adapter.software) return;
    await refuses(() => small.loadNet("lenet5"), GpuError, "OUT_OF_MEMORY", /machine has 0\.1 MiB.*needs 0\.\d MiB/);
    assert.is(small.alive.buffers, 0);
  } finally {
    small.close();
  }
});

test("NaN in the weights is allowed and reported", async () => {
  const shapes = paramShapes(traceNamed("lenet5"));
  const tensors: Record<string, Tensor> = {};
  for (const [name, shape] of shapes) tensors[name] = randomTensor(shape);
  tensors["conv2.bias"].data[3] = Number.NaN;
  await withNet(gpu, "lenet5", { weights: arraysCheckpoint(tensors) }, async (net) => {
    assert.equal(net.warnings.length, 1);
    assert.match(net.warnings[0], "conv2.bias");
    assert.ok((await net.run(randomTensor([1, 1, 32, 32]))).logits.data.every(Number.isNaN));
  });
});

inDepth("the example of a net of one's own runs", () => {
  const example = fileURLToPath(new URL("../../../examples/residual_block.mjs", import.meta.url));
  assert.match(execFileSync(process.execPath, [example], { encoding: "utf8" }), /\[1,751\], first logit -?\d/);
});

test.run();
