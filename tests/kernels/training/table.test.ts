import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnyNet, inputShape, netOptions, trace, traceNet } from "../../../engine/definition.ts";
import { prune } from "../../../engine/graph/passes.ts";
import { hasDropout } from "../../../engine/training/graph.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { alexnet } from "../../../nets/alexnet.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { resnet18 } from "../../../nets/resnet.ts";
import { swin_t } from "../../../nets/swin_transformer.ts";

const tableOf = (net: AnyNet, maxBinding = 2 ** 27) => {
  const drops = hasDropout((graph) => traceNet(net, inputShape(net), netOptions(net, {}), graph));
  return tableFor(prune(trace(net, {}), ["logits"]), maxBinding, drops);
};

const loaded = async (net: AnyNet, maxBinding?: number) => Object.keys((await tableOf(net, maxBinding)).gradients.of);

test("a net that is trained loads the gradients of its own operators, and those that training adds", async () => {
  const always = ["add", "cross_entropy"];
  assert.equal(await loaded(lenet5), [...always, "conv2d", "tanh", "avgpool2d", "linear"]);
  const residual = ["conv2d", "batchnorm", "relu", "maxpool2d", "adaptive_avgpool2d", "linear", "batchnorm_train"];
  assert.equal(await loaded(resnet18), [...always, ...residual]);
});

test("dropout is there where something is dropped", async () => {
  assert.not.ok((await tableOf(resnet18)).dropout);
  const table = await tableOf(alexnet);
  assert.ok(table.dropout && table.gradients.of.dropout);
});

test("what picks elements of parameters is there where parameters are derived", async () => {
  assert.not.ok((await tableOf(resnet18)).derive);
  assert.ok((await tableOf(swin_t)).derive);
  assert.ok((await loaded(swin_t)).includes("gather"));
});

test("what joins the pieces of a weight is there where one is over the binding limit", async () => {
  // 16 * 5 * 5 * 120 numbers of 4 bytes are the largest that it has.
  assert.not.ok((await tableOf(lenet5, 192_000)).split);
  assert.ok((await tableOf(lenet5, 191_999)).split);
  assert.ok((await loaded(lenet5, 191_999)).includes("concat"));
});

test("what strides need is there where a net has some", async () => {
  assert.not.ok((await tableOf(lenet5)).variants.stretch);
  assert.ok((await tableOf(resnet18)).variants.stretch);
});

test("without a net there are all", async () => {
  const all = Object.keys((await tableFor()).gradients.of);
  for (const name of ["lrn", "softmax", "batchnorm_train", "sum"]) assert.ok(all.includes(name), name);
});

test.run();
