// Models of ONNX in place of nets.
import { readFile, writeFile } from "node:fs/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytesSource, encodeSafetensors, exportOnnx, openCheckpoint } from "../../index.ts";
import { randomTensor } from "../harness.ts";
import { eachFails, inFolder, shadenet } from "./harness.ts";

await writeFile(inFolder("lenet5.onnx"), exportOnnx("lenet5", { batch: 1 }));

test("summary, run and convert of a .onnx file", async () => {
  const env = { SHADENET_ADAPTER: "none" };
  const ours = await shadenet(["summary", "lenet5", "--json"], { env });
  const theirs = await shadenet(["summary", "lenet5.onnx", "--json"], { env });
  assert.equal([theirs.code, theirs.errors], [0, []]);
  const [want, got] = [JSON.parse(ours.stdout), JSON.parse(theirs.stdout)];
  assert.equal([got.input, got.parameters, got.multiplyAdds], [want.input, want.parameters, want.multiplyAdds]);

  const converted = await shadenet(["convert", "lenet5.onnx", "lenet5.safetensors", "--json"], { env });
  assert.equal([converted.code, converted.errors, JSON.parse(converted.stdout).tensors.length], [0, [], 10]);

  await writeFile(inFolder("x.safetensors"), encodeSafetensors(new Map([["x", randomTensor([1, 1, 32, 32])]])));
  const logits = [];
  for (const net of ["lenet5", "lenet5.onnx"]) {
    const given = ["--net", net, "--input", "x.safetensors", "--output", "y.safetensors", "--features", "conv2"];
    const { code, errors } = await shadenet(["run", ...given]);
    assert.equal([code, errors], [0, []]);
    const file = await openCheckpoint(bytesSource(await readFile(inFolder("y.safetensors"))));
    logits.push([await file.read("logits"), await file.read("conv2")]);
  }
  assert.equal(logits[1], logits[0]);
});

test("what is no model is told in one line", async () => {
  await writeFile(inFolder("text.onnx"), "no model");
  await eachFails([
    [["summary", "no.onnx"], 1, /cannot read no\.onnx: there is no such file/],
    [["summary", "text.onnx"], 1, /text\.onnx: got a file that starts with "no model", wanted/],
    [["profile", "lenet5.onnx", "--num-classes", "7"], 2, /lenet5: numClasses is 7; it must be 10, as in its file/],
  ]);
});

test.run();
