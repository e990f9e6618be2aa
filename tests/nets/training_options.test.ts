import { test } from "uvu";
import * as assert from "uvu/assert";
import { inputShape, netOptions, traceNet } from "../../engine/definition.ts";
import { Graph } from "../../engine/graph/graph.ts";
import { nets } from "../../nets/index.ts";

/**
 * What training reads alone, of PyTorch's modules: the probabilities of dropouts that drop anything, in order, and the momentum
 * of batch norms, if there are any. Of torchvision 0.28 and timm 1.0; alexnet2012 and the VGG paper's two others have their papers' dropouts.
 */
const WANTED: readonly (readonly [names: RegExp, dropouts: readonly number[], momentum?: number])[] = [
  [/^lenet5$/, []],
  [/^alexnet(2012)?$/, [0.5, 0.5]],
  [/^vgg(11(_lrn)?|13|16(_c)?|19)$/, [0.5, 0.5]],
  [/^vgg(11|16|13|19)_bn$/, [0.5, 0.5], 0.1],
  [/^(wide_)?res(net|next)\d+(_|$)/, [], 0.1],
  [/^squeezenet1_[01]$/, [0.5]],
  [/^densenet(121|161|169|201)$/, [], 0.1],
  [/^googlenet$/, [0.2], 0.1],
  [/^inception_v3$/, [0.5], 0.1],
  [/^mobilenet_v2$/, [0.2], 0.1],
  [/^mobilenet_v3_(small|large)$/, [0.2], 0.01],
  [/^mobilenetv3_(small|large)_100$/, [], 0.1],
  [/^shufflenet_v2_x[012]_[05]$/, [], 0.1],
  [/^mnasnet/, [0.2], 0.0003],
  [/^regnet_[xy]_/, [], 0.1],
  [/^efficientnet_b[01]$/, [0.2], 0.1],
  [/^efficientnet_b[23]$/, [0.3], 0.1],
  [/^efficientnet_b4$/, [0.4], 0.1],
  [/^efficientnet_b5$/, [0.4], 0.01],
  [/^efficientnet_b[67]$/, [0.5], 0.01],
  [/^efficientnet_v2_s$/, [0.2], 0.1],
  [/^efficientnet_v2_m$/, [0.3], 0.1],
  [/^efficientnet_v2_l$/, [0.4], 0.1],
  [/^(convnext|vit|swin)_/, []],
  [/^maxvit_t$/, [], 0.01],
];

for (const [name, net] of Object.entries(nets)) {
  test(`${name} drops out and follows its batches as PyTorch's does`, () => {
    const rows = WANTED.filter(([names]) => names.test(name));
    assert.is(rows.length, 1, "there are numbers for it");
    const [[, wanted, momentum]] = rows;
    const dropouts: number[] = [];
    const graph = new Graph();
    graph.training = {
      dropout(x, p) {
        dropouts.push(p);
        return x;
      },
      pack: (w) => w,
    };
    const { nodes } = traceNet(net, inputShape(net, {}), netOptions(net, {}), graph);
    assert.equal(dropouts, wanted);
    const norms = nodes.flatMap((node) =>
      node.kind === "op" && node.kernel.name === "batchnorm" ? [node.options] : [],
    );
    const momenta = new Set(norms.map((options) => (options as { momentum: number }).momentum));
    assert.equal([...momenta], momentum === undefined ? [] : [momentum]);
  });
}

test.run();
