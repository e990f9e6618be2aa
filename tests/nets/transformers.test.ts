// ConvNeXt, ViT and MaxViT of few channels against PyTorch.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { convnext } from "../../nets/convnext.ts";
import { maxvit } from "../../nets/maxvit.ts";
import { vit } from "../../nets/vision_transformer.ts";
import { runNet, runStages } from "../conformance/conformance.ts";
import { GOLDENS, readNets } from "../conformance/goldens.ts";
import { open, someOf } from "../harness.ts";

const gpu = await open();
const goldens = readNets(`${GOLDENS}transformers.json`);

const small = {
  convnext: convnext("convnext", [32, 64, 128, 256], [1, 1, 2, 1], "", 0),
  vit: vit("vit", 16, 2, 2, 64, {}),
  maxvit: maxvit("maxvit", 32, [1, 2], ""),
};

for (const [key, definition] of someOf(Object.entries(small), 1)) {
  test(`a small ${key}: logits and layers are PyTorch's`, async () => {
    const { status, message } = await runNet(gpu, goldens, key, {}, definition);
    assert.is(status, "pass", message);
    for (const { stage, errOverRms, limit } of await runStages(gpu, goldens, key, definition))
      assert.ok(errOverRms <= limit, `${stage}: ${errOverRms}, at most ${limit}`);
  });
}

test.run();
