import { test } from "uvu";
import * as assert from "uvu/assert";
import { inputShape, trace } from "../../engine/definition.ts";
import { Graph, paramShapes } from "../../engine/graph/graph.ts";
import type { Value } from "../../engine/graph/value.ts";
import { sizeOf, type Tensor, tensor } from "../../engine/ground/tensor.ts";
import { runOnce, withModel } from "../../engine/model.ts";
import { FAMILIES } from "../../examples/page/nets.ts";
import {
  addGradient,
  addHeatMap,
  CHOSEN,
  classActivation,
  GRADIENT,
  gradCam,
  type HeatMapSource,
  MAPS,
} from "../../examples/page/worker/heat_map.ts";
import { GRID, lostBy, masksFrom, traceCovered, VISIBLE } from "../../examples/page/worker/occlusion.ts";
import { tanh } from "../../kernels/elementwise/tanh.ts";
import { flatten } from "../../kernels/flatten.ts";
import { avgPool2d } from "../../kernels/pool2d/avgpool2d.ts";
import { nets } from "../../nets/index.ts";
import { convLayer, linearLayer, named } from "../../nets/layers.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { evaluateGraph, inDepth, int, open, randomTensor, randomTensors, small } from "../harness.ts";

const gpu = await open();

/** Nets with more than one layer, or one that is not linear, behind their last maps. */
const NOT_LINEAR = /^(lenet|alexnet|vgg|mobilenet_?v3|convnext|vit|maxvit)/;

test("every net has maps of more than one place, and of each class where one layer makes the logits of them", () => {
  const listed = Object.assign({}, ...Object.values(FAMILIES)) as Record<string, number | undefined>;
  assert.equal(
    Object.keys(listed).sort(),
    Object.keys(nets)
      .filter((name) => name !== "lenet5")
      .sort(),
  );
  for (const [name, net] of Object.entries(nets)) {
    const graph = trace(net);
    const { layer, shape, height, width, classWeights } = addHeatMap(graph);
    assert.is(classWeights !== undefined, !NOT_LINEAR.test(name), name);
    assert.ok(height > 1 && width > 1 && graph.names.has(layer), `${name}: ${layer} ${shape}`);
    const params = paramShapes(graph);
    if (name !== "lenet5") {
      const published = Object.values<{ transforms?: { crop: number } }>(net.weights).at(-1);
      const isOther = (published?.transforms?.crop ?? net.imageSize[0]) !== net.imageSize[0];
      const loaded = isOther ? paramShapes(trace(net, { weights: "DEFAULT" })) : params;
      const bytes = 4 * [...loaded.values()].reduce((sum, param) => sum + sizeOf(param), 0);
      assert.is(listed[name], published ? Math.round(bytes / 1e4) / 100 : undefined, `${name} in nets.ts`);
    }
    if (classWeights === undefined) continue;
    assert.equal(params.get(classWeights)?.slice(0, 2), [net.options.numClasses, shape[1]], name);
  }
});

test("what the maps are of", () => {
  const wanted = {
    resnet18: "layer4",
    efficientnet_b0: "features",
    regnet_y_400mf: "trunk_output",
    mnasnet0_5: "layers",
    googlenet: "inception5b",
    vgg16: "features.29",
    // A dropout, which hands its input on.
    squeezenet1_1: "classifier.0",
    mobilenet_v3_small: "features",
    // Behind its pooling is another convolution, of one pixel.
    mobilenetv3_small_100: "blocks",
    convnext_tiny: "features",
    maxvit_t: "blocks.3",
    // Behind the last attention the tokens of the patches are not read.
    vit_b_32: "encoder.layers.encoder_layer_11.ln_1",
  };
  for (const [name, layer] of Object.entries(wanted)) assert.is(addHeatMap(trace(nets[name])).layer, layer, name);
});

// The mean is before the linear layer, another kernel, or behind a convolution and its relu.
for (const name of ["squeezenet1_1", "mnasnet0_5", "resnet18", "efficientnet_b0", "regnet_y_400mf", "densenet121"]) {
  inDepth(`the map of a class of ${name} is what its logit is the mean of, and what Grad-CAM shows of it`, async () => {
    const options = { imageSize: 64, numClasses: 10 };
    const graph = trace(nets[name], options);
    const source = addHeatMap(graph);
    await addGradient(graph);
    const isSqueezenet = /^squeezenet/.test(name);
    const weights = randomWeights(nets[name], options);
    const bias = await weights.read(
      isSqueezenet ? "classifier.1.bias" : ([...weights.tensors.keys()].at(-1) as string),
    );
    const x = randomTensor(inputShape(nets[name], options));
    await withModel(gpu, graph, weights, async (model) => {
      const k = int(0, 9);
      const chosen = Float32Array.from({ length: 10 }, (_, i) => Number(i === k));
      const outputs = await model.run({ x: x.data, [CHOSEN]: chosen }, ["logits", MAPS, GRADIENT]);
      const channels = source.shape[1];
      const row = await weights.read(source.classWeights as string, k * channels, channels);
      const { values } = classActivation(source, outputs[MAPS], row);
      // SqueezeNet's relu is between the map and its mean.
      const scores = values.map((value) => (isSqueezenet ? Math.max(value + bias[k], 0) : value + bias[k]));
      const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
      const { data: logits } = outputs.logits;
      const largest = Math.max(...logits.map(Math.abs));
      assert.ok(Math.abs(mean - logits[k]) < 1e-4 * largest, `class ${k}: ${mean}, logit ${logits[k]}`);
      // Every place has the gradient row / places, but where that relu is shut.
      const share = scores.filter((score) => !isSqueezenet || score > 0).length / scores.length ** 2;
      const cam = gradCam(source, outputs[MAPS], outputs[GRADIENT]).values;
      const most = Math.max(...values.map(Math.abs)) / values.length;
      for (const [place, value] of values.entries()) {
        const want = Math.max(share * value, 0);
        assert.ok(Math.abs(cam[place] - want) < 1e-4 * most, `place ${place}: ${cam[place]}, not ${want}`);
      }
    });
  });
}

/** Two layers behind the maps [1, 4, 6, 6]; smooth, so that differences tell the gradient. */
const behind = (maps: Value): Value =>
  linearLayer("fc2", tanh(linearLayer("fc1", flatten(avgPool2d(maps, { kernel: 2 })), 6)), 5);

test("the gradient by the maps is what differences of float64 references say, and Grad-CAM is made of its means", async () => {
  const graph = new Graph();
  const input = graph.input("x", [1, 3, 8, 8]);
  const logits = graph.name("logits", behind(named("maps", tanh(convLayer("conv", input, 4, 3)))));
  const source = addHeatMap(graph);
  assert.is(source.layer, "maps");
  await addGradient(graph);
  const k = int(0, 4);
  const tensors: Record<string, Tensor> = randomTensors(graph);
  const oneHot = Float32Array.from({ length: 5 }, (_, i) => Number(i === k));
  tensors[CHOSEN] = { shape: logits.shape, data: oneHot };
  const outputs = await runOnce(gpu, graph, tensors, ["logits", MAPS, GRADIENT]);
  const { [MAPS]: maps, [GRADIENT]: gradient } = outputs;
  const tail = new Graph();
  const logit = behind(tail.input("maps", maps.shape)).id;
  const at = (i: number, by: number) => {
    const data = maps.data.slice();
    data[i] += by;
    return evaluateGraph(tail, { ...tensors, maps: { shape: maps.shape, data } })[logit].data[k];
  };
  const wanted = maps.data.map((_, i) => (at(i, 0.02) - at(i, -0.02)) / 0.04);
  const most = Math.max(...wanted.map(Math.abs));
  assert.ok(most > 0);
  for (const [i, want] of wanted.entries()) {
    assert.ok(Math.abs(gradient.data[i] - want) < 2e-3 * most, `${i}: ${gradient.data[i]}, not ${want}`);
  }
  const heat = gradCam(source, maps, gradient);
  assert.equal([heat.height, heat.width], [6, 6]);
  for (const [place, value] of heat.values.entries()) {
    let sum = 0;
    for (let c = 0; c < 4; c++) {
      const mean = wanted.slice(36 * c, 36 * (c + 1)).reduce((total, each) => total + each, 0) / 36;
      sum += mean * maps.data[36 * c + place];
    }
    assert.ok(Math.abs(value - Math.max(sum, 0)) < 2e-3 * most, `place ${place}: ${value}, not ${sum}`);
  }
});

test("tokens: the class's own is left out, and a place is a row of channels", () => {
  const source: HeatMapSource = { layer: "ln", height: 1, width: 2, shape: [1, 3, 2] };
  const maps = tensor([1, 3, 2], [100, 100, 1, 2, 3, 4]);
  const gradient = tensor([1, 3, 2], [50, 50, 2, -1, 4, -1]);
  assert.equal([...gradCam(source, maps, gradient).values], [3 * 1 - 2, 3 * 3 - 4]);
});

test("a picture with a part covered is answered as one whose pixels are zero there", async () => {
  const { graph, batch, image } = traceCovered(gpu, small, {});
  assert.equal(image, [12, 12]);
  const weights = randomWeights(small);
  const x = randomTensor([1, 3, 12, 12]).data;
  const whole = await withModel(gpu, trace(small), weights, (model) => model.run({ x }, ["probabilities"]));
  const first = int(0, GRID * GRID - batch);
  const masks = masksFrom(first, batch, image);
  assert.ok(masks.includes(0) && masks.includes(1));
  const covered = await withModel(gpu, graph, weights, (model) =>
    model.run({ x, [VISIBLE]: masks }, ["probabilities"]),
  );
  await withModel(gpu, trace(small), weights, async (model) => {
    for (const i of [0, batch - 1]) {
      const zeroed = x.map((value, j) => value * masks[144 * i + (j % 144)]);
      const { probabilities } = await model.run({ x: zeroed }, ["probabilities"]);
      for (const [k, want] of probabilities.data.entries()) {
        assert.ok(Math.abs(covered.probabilities.data[7 * i + k] - want) < 1e-5, `image ${i}, class ${k}`);
      }
    }
  });
  const all = new Float32Array(GRID * GRID * 7).fill(0.25);
  const lost = lostBy(whole.probabilities.data, all, 3);
  assert.equal([lost.height, lost.width], [GRID, GRID]);
  assert.ok(lost.values.every((value) => Math.abs(value - (whole.probabilities.data[3] - 0.25)) < 1e-6));
});

test("squares cover a quarter of the side around the middle of their cell, within the image", () => {
  const masks = masksFrom(GRID * GRID - 2, 4, [64, 128]);
  const covered = (i: number) => {
    const places = [...masks.subarray(i * 8192, (i + 1) * 8192).entries()].filter(([, value]) => value === 0);
    const rows = places.map(([at]) => Math.floor(at / 128));
    const columns = places.map(([at]) => at % 128);
    return [places.length, Math.min(...rows), Math.max(...rows), Math.min(...columns), Math.max(...columns)];
  };
  assert.equal(covered(0), [12 * 32, 52, 63, 88, 119]);
  assert.equal(covered(1), [12 * 24, 52, 63, 104, 127]);
  assert.is(covered(2)[0], 0, "over the end nothing is covered");
});

test.run();
