import { test } from "uvu";
import * as assert from "uvu/assert";
import { inputShape, trace } from "../../engine/definition.ts";
import { withModel } from "../../engine/model.ts";
import { addHeatMap, CLASS_WEIGHTS, MAPS } from "../../examples/page/worker/heat_map.ts";
import { nets } from "../../nets/index.ts";
import { randomWeights } from "../../nets/random_weights.ts";
import { int, open, pick, randomTensor } from "../harness.ts";

const gpu = await open();

/** Nets with more than one layer, or one that is not linear, behind their last maps. */
const NOT_LINEAR = /^(lenet|alexnet|vgg|mobilenet_?v3|convnext|vit|maxvit)/;

test("every net has maps of more than one place, and of each class where one layer makes the logits of them", () => {
  for (const [name, net] of Object.entries(nets)) {
    const graph = trace(net);
    const { layer, shape, perClass } = addHeatMap(graph);
    assert.is(perClass, !NOT_LINEAR.test(name), name);
    assert.ok(shape[2] > 1 && shape[3] > 1 && graph.names.has(layer), `${name}: ${layer} ${shape}`);
    if (!perClass) continue;
    const weights = graph.nodes[graph.find(CLASS_WEIGHTS)].shape;
    assert.equal(weights.slice(0, 2), [net.options.numClasses, shape[1]], name);
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
    // A transformer has images no further than its patches.
    vit_b_32: "conv_proj",
  };
  for (const [name, layer] of Object.entries(wanted)) assert.is(addHeatMap(trace(nets[name])).layer, layer, name);
});

// The mean is before the linear layer, another kernel, or behind a convolution and its relu.
for (const name of [
  "squeezenet1_1",
  "mnasnet0_5",
  pick("resnet18", "efficientnet_b0", "regnet_y_400mf", "densenet121"),
]) {
  test(`the map of a class of ${name} is what its logit is the mean of`, async () => {
    const options = { imageSize: 64, numClasses: 10 };
    const graph = trace(nets[name], options);
    const [, channels, height, width] = addHeatMap(graph).shape;
    const weights = randomWeights(nets[name], options);
    const bias = await weights.read(
      /^squeezenet/.test(name) ? "classifier.1.bias" : ([...weights.tensors.keys()].at(-1) as string),
    );
    await withModel(gpu, graph, weights, async (model) => {
      const x = randomTensor(inputShape(nets[name], options)).data;
      const outputs = await model.run({ x }, ["logits", MAPS, CLASS_WEIGHTS]);
      const [logits, maps, rows] = ["logits", MAPS, CLASS_WEIGHTS].map((output) => outputs[output].data);
      const k = int(0, 9);
      const places = height * width;
      let sum = 0;
      for (let place = 0; place < places; place++) {
        let score = bias[k];
        for (let c = 0; c < channels; c++) score += rows[k * channels + c] * maps[c * places + place];
        sum += /^squeezenet/.test(name) ? Math.max(score, 0) : score;
      }
      const largest = Math.max(...logits.map(Math.abs));
      assert.ok(Math.abs(sum / places - logits[k]) < 1e-4 * largest, `class ${k}: ${sum / places}, logit ${logits[k]}`);
    });
  });
}

test.run();
