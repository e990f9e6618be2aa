import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnyNet, trace } from "../../../engine/definition.ts";
import { prune } from "../../../engine/graph/passes.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { lenet5 } from "../../../nets/lenet.ts";
import { resnet18 } from "../../../nets/resnet.ts";
import { swin_t } from "../../../nets/swin_transformer.ts";

const loaded = async (net?: AnyNet) => Object.keys((await tableFor(net && logitsOf(net))).gradients.of);

const logitsOf = (net: AnyNet) => prune(trace(net, {}), ["logits"]);

test("a net that is trained loads the gradients of its own operators, and those that training adds", async () => {
  const always = ["add", "concat", "cross_entropy", "dropout", "slice"];
  assert.equal(await loaded(lenet5), [...always, "conv2d", "tanh", "avgpool2d", "linear"]);
  const residual = ["conv2d", "batchnorm", "relu", "maxpool2d", "adaptive_avgpool2d", "linear", "batchnorm_train"];
  assert.equal(await loaded(resnet18), [...always, ...residual]);
});

test("what picks elements of parameters is there where parameters are derived", async () => {
  assert.not.ok((await tableFor(logitsOf(resnet18))).gather);
  assert.ok((await tableFor(logitsOf(swin_t))).gather);
  assert.ok((await loaded(swin_t)).includes("gather"));
});

test("without a net there are all", async () => {
  const all = await loaded();
  for (const name of ["lrn", "softmax", "batchnorm_train", "sum"]) assert.ok(all.includes(name), name);
});

test.run();
