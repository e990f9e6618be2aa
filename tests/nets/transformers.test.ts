// Transformers and ConvNeXt of few channels against PyTorch; Swin on images that neither windows nor the merging of pixels divide.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { convnext } from "../../nets/convnext.ts";
import { maxvit } from "../../nets/maxvit.ts";
import { type SwinVersion, swin, V1 } from "../../nets/swin_transformer.ts";
import { V2 } from "../../nets/swin_transformer_v2.ts";
import { vit } from "../../nets/vision_transformer.ts";
import { generatedCheckpoint, generatedInput } from "../../tools/hashinit.ts";
import { runNet, runStages } from "../conformance/conformance.ts";
import { GOLDENS, readNets } from "../conformance/goldens.ts";
import { inDepth, open, withNet } from "../harness.ts";

const gpu = await open();
const goldens = readNets(`${GOLDENS}transformers.json`);

const small = {
  convnext: convnext("convnext", [32, 64, 128, 256], [1, 1, 2, 1], "", 0),
  vit: vit("vit", 16, 2, 2, 64, {}),
  maxvit: maxvit("maxvit", 32, [1, 2], ""),
};

for (const [key, definition] of Object.entries(small)) {
  // The others have more pipelines, and so seconds to compile.
  (key === "vit" ? test : inDepth)(`a small ${key}: logits and layers are PyTorch's`, async () => {
    const { status, message } = await runNet(gpu, goldens, key, {}, definition);
    assert.is(status, "pass", message);
    for (const { stage, errOverRms, limit } of await runStages(gpu, goldens, key, definition))
      assert.ok(errOverRms <= limit, `${stage}: ${errOverRms}, at most ${limit}`);
  });
}

const swins = readNets(`${GOLDENS}swin.json`);
const versions: Readonly<Record<string, SwinVersion>> = { swin: V1, swin_v2: V2 };

for (const [key, version] of Object.entries(versions)) {
  inDepth(`${key} with padded windows: logits and layers are PyTorch's`, async () => {
    const { input_shape: shape, options, stages, logits_f64, logits_rms, ...record } = swins.nets[key];
    const [batch, , ...imageSize] = shape;
    // Buffers of the checkpoint are passed over, whatever is in them.
    const checkpoint = generatedCheckpoint(swins, key);
    const buffer = { shape: [5], dtype: "I64" } as const;
    const tensors = new Map([...checkpoint.tensors, ["features.1.0.attn.relative_position_index", buffer]]);
    const weights = { ...checkpoint, tensors };
    const net = swin(key, version, 32, 2, "", 0);
    await withNet(gpu, net, { weights, batch, imageSize: imageSize as never, ...options }, async (net) => {
      const layers = stages.map(({ stage }) => stage);
      const { logits, features } = await net.run(generatedInput(swins, key), { features: layers });
      const close = (what: string, got: number, want: number, torch: number, rms: number) =>
        assert.ok(Math.abs(got - want) <= Math.max(5 * torch, 5e-6) * rms, `${what}: ${got}, wanted ${want}`);
      for (const { stage, shape, samples, rms, torch_f32_err_over_rms: torch } of stages) {
        assert.equal(features[stage].shape, shape, stage);
        for (const [index, want] of samples) close(stage, features[stage].data[index], want, torch, rms);
      }
      for (const [i, want] of logits_f64.entries())
        close("logits", logits.data[i], want, record.torch_f32_max_err_over_rms, logits_rms);
    });
  });
}

test.run();
