import { readdir, readFile, writeFile } from "node:fs/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ModelProtoSchema } from "../../../engine/node/onnx_pb.ts";
import { packageFile } from "../../../tools/package.ts";
import { eachFails, folder, inFolder, shadenet } from "../../cli/harness.ts";

/** An export needs no GPU: opening one would fail. */
const env = { SHADENET_ADAPTER: "none" };

test("export: a model, and what is in it", async () => {
  const { code, stdout, errors } = await shadenet(["export", "lenet5", "a.onnx"], { env });
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /^lenet5 written to a\.onnx: 0\.25 MB, ONNX with opset 17\n {2}x +\[N, 1, 32, 32\]\n/);
  assert.match(stdout, /\n {2}logits +\[N, 10\]\n$/);
  const model = fromBinary(ModelProtoSchema, await readFile(inFolder("a.onnx")));
  assert.is(model.graph?.initializer.length, 10);

  const args = ["--weights", "MNIST", "--batch", "4", "--outputs", "probabilities,pool2", "--json"];
  const json = await shadenet(["export", "lenet5", "b.onnx", ...args], { env });
  assert.equal([json.code, json.errors], [0, []]);
  assert.equal(JSON.parse(json.stdout), {
    net: "lenet5",
    output: "b.onnx",
    bytes: (await readFile(inFolder("b.onnx"))).length,
    opset: 17,
    inputs: { x: [4, 1, 32, 32] },
    outputs: { probabilities: [4, 10], pool2: [4, 16, 5, 5] },
  });
});

test("export: nothing half-written, and a file that was there stays", async () => {
  await writeFile(inFolder("old.onnx"), "old");
  const good = packageFile("nets/weights/lenet5.safetensors");
  const on = (net: string, ...more: string[]) => ["export", net, "old.onnx", ...more];
  await eachFails([
    [["export", "lenet5"], 2, /missing required argument 'out'/],
    [on("lenet6"), 2, /no net "lenet6"/],
    [on("alexnet"), 2, /alexnet comes without weights/],
    [on("lenet5", "--outputs", "conv9"), 2, /no layer called "conv9"; there are conv1/],
    [on("lenet5", "--image-size", "9"), 1, /cannot take images of 9 x 9 pixels/],
    [on("lenet5", "--num-classes", "7"), 1, /linear2\.weight is \[10, 84\], wanted \[7, 84\]/],
    [on("resnet18", "--weights", good), 1, /does not fit: \d+ tensors missing.*; it fits lenet5$/],
    [on("lenet5", "--weights", "nowhere.pth"), 1, /cannot read nowhere\.pth: there is no such file/],
    [["export", "lenet5", "no/such/folder.onnx"], 1, /cannot write no\/such\/folder\.onnx: its folder does not exist/],
    [on("vgg16", "--num-classes", "900000000"), 2, /would be a model of \d+ bytes, and ONNX ends at/],
  ]);
  assert.is(await readFile(inFolder("old.onnx"), "utf8"), "old");
  assert.equal(
    (await readdir(folder)).filter((name) => name.endsWith(".part")),
    [],
  );
});

test.run();
