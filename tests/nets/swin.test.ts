// Swin of few channels on images that neither windows nor the merging of pixels divide, against PyTorch.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type SwinVersion, swin, V1 } from "../../nets/swin_transformer.ts";
import { V2 } from "../../nets/swin_transformer_v2.ts";
import { generatedCheckpoint, generatedInput } from "../../tools/hashinit.ts";
import { GOLDENS, readNets } from "../conformance/goldens.ts";
import { open, someOf, withNet } from "../harness.ts";

const gpu = await open();
const goldens = readNets(`${GOLDENS}swin.json`);

const versions: Readonly<Record<string, SwinVersion>> = { swin: V1, swin_v2: V2 };

for (const [key, version] of someOf(Object.entries(versions), 1)) {
  test(`${key} with padded windows: logits and layers are PyTorch's`, async () => {
    const { input_shape: shape, options, stages, logits_f64, logits_rms, ...record } = goldens.nets[key];
    const [batch, , ...imageSize] = shape;
    // Buffers of the checkpoint are passed over, whatever is in them.
    const checkpoint = generatedCheckpoint(goldens, key);
    const buffer = { shape: [5], dtype: "I64" } as const;
    const tensors = new Map([...checkpoint.tensors, ["features.1.0.attn.relative_position_index", buffer]]);
    const weights = { ...checkpoint, tensors };
    const net = swin(key, version, 32, 2, "", 0);
    await withNet(gpu, net, { weights, batch, imageSize: imageSize as never, ...options }, async (net) => {
      const layers = stages.map(({ stage }) => stage);
      const { logits, features } = await net.run(generatedInput(goldens, key), { features: layers });
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
