import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../engine/definition.ts";
import { addHeatMap } from "../../examples/page/worker/heat_map.ts";
import { nets } from "../../nets/index.ts";

test("nets that end in a pooling and one linear layer have class activation maps; others the mean of what is pooled", () => {
  const wanted = {
    resnet18: ["layer4", true],
    efficientnet_b0: ["features", true],
    regnet_y_400mf: ["trunk_output", true],
    mnasnet0_5: ["layers", true],
    googlenet: ["inception5b", true],
    vgg16: ["features.29", false],
    squeezenet1_1: ["classifier.2", false],
    mobilenet_v3_small: ["features", false],
    convnext_tiny: ["features", false],
    maxvit_t: ["blocks.3", false],
    // A transformer has images no further than its patches.
    vit_b_32: ["conv_proj", false],
  };
  for (const [name, [layer, perClass]] of Object.entries(wanted)) {
    const source = addHeatMap(trace(nets[name]));
    assert.equal([source.layer, source.perClass], [layer, perClass], name);
  }
});

test.run();
