import { readdir, readFile } from "node:fs/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AnyNet } from "../../engine/definition.ts";
import { Gpu } from "../../engine/gpu.ts";
import type { Figures } from "../../engine/tuning/figures.ts";
import { readFigures } from "../../engine/tuning/read_figures.ts";
import { GpuError } from "../../index.ts";
import { issuePlace, ownVersion } from "../../tools/package.ts";
import { inDepth, isDeep } from "../harness.ts";
import { eachFails, folder, inFolder, shadenet } from "./harness.ts";

test("bench measures nets and writes a file of figures", async () => {
  const nets = isDeep ? ["lenet5", "shufflenet_v2_x0_5"] : ["lenet5"];
  const what = ["--nets", [...nets, "lenet5"].join(","), "--runs", "2", "--batch", "2"];
  const args = ["bench", ...what, "--json", "figures.json"];
  const { code, stdout, errors } = await shadenet(args);
  assert.equal([code, errors], [0, []]);
  assert.match(stdout, /^lenet5 +2( +[\d.]+ m?s){2} +2 +[\d.]+ m?s +[\d.e+]+ +\d\.\de[-+]\d+$/m);
  assert.match(stdout, /figures\.json has the figures; if you like, attach it to an issue .*\.$/m);
  const figures = readFigures(await readFile(inFolder("figures.json"), "utf8"), "figures.json");
  assert.ok(figures);
  assert.equal(
    figures.nets.map(({ net, batch, dtype, runs }) => [net, batch, dtype, runs]),
    nets.map((net) => [net, 2, "f32", 2]),
  );
  for (const { coldMs } of figures.nets) assert.ok((coldMs ?? 0) > 0);
  assert.equal([figures.failed, figures.shadenet, figures.backend], [[], ownVersion(), "vulkan"]);
  assert.match(figures.runtime, `Node ${process.versions.node}`);
  assert.match(figures.os, new RegExp(`^${process.platform} .*${process.arch}$`));
});

test("bench prints JSON where no file is named", async () => {
  const { code, stdout, errors } = await shadenet(["bench", "--json", "--nets", "lenet5", "--runs", "1"]);
  assert.equal([code, errors], [0, []]);
  assert.is(readFigures(stdout, "stdout")?.nets.length, 1);
});

/** Calls back before each net that is loaded meanwhile. */
async function withLoading<T>(onLoad: (definition: AnyNet) => void, work: () => Promise<T>): Promise<T> {
  const { loadNet } = Gpu.prototype;
  Gpu.prototype.loadNet = async function (net, options) {
    onLoad(await this.definition(net));
    return loadNet.call(this, net, options);
  };
  try {
    return await work();
  } finally {
    Gpu.prototype.loadNet = loadNet;
  }
}

test("a net that the adapter cannot run is told, and the others are measured", async () => {
  const reason = "the device has no 1 GB for conv1";
  const args = ["bench", "--nets", "shufflenet_v2_x0_5,lenet5", "--runs", "1", "--json"];
  const { code, stdout, errors } = await withLoading(
    ({ name }) => {
      if (name !== "lenet5") throw new GpuError("OUT_OF_MEMORY", reason);
    },
    () => shadenet(args),
  );
  assert.equal([code, errors], [1, [`shadenet: shufflenet_v2_x0_5 was not measured: ${reason}`]]);
  const { failed, nets } = readFigures(stdout, "stdout") as Figures;
  assert.equal(failed, [{ net: "shufflenet_v2_x0_5", batch: 1, dtype: "f32", reason }]);
  assert.equal(
    nets.map(({ net }) => net),
    ["lenet5"],
  );
});

test("what is wrong is told before anything is measured", () =>
  eachFails([
    [["bench", "--nets", "lenet6"], 2, /no net "lenet6"; there are lenet5, /],
    [["bench", "--json", "none/figures.json"], 1, /cannot write none\/figures.json: its folder does not exist/],
    [["bench", "--json", folder], 1, /cannot write .*: it is a folder/],
    [["bench", "--batch", "0"], 2, /'--batch <n>' argument '0' is invalid/],
    [["bench", "--dtype", "f8"], 2, /Allowed choices are f32, f16/],
    [["bench", "resnet18"], 2, /too many arguments/],
  ]));

inDepth("an interrupted bench leaves no file", async () => {
  const args = ["bench", "--nets", "lenet5,shufflenet_v2_x0_5", "--runs", "1", "--json", "interrupted.json"];
  const told = await withLoading(
    (definition) => {
      if (definition.name !== "lenet5") process.emit("SIGINT");
    },
    () => shadenet(args),
  );
  assert.equal([told.code, told.stdout, told.errors], [130, "", []]);
  assert.not((await readdir(folder)).some((name) => name.includes("interrupted")));
});

test("figures are sent where package.json says", () => {
  const of = (repository?: string | { url: string }) => issuePlace({ version: "1", repository });
  for (const given of ["https://example.org/a/b", "git+https://example.org/a/b.git", "https://example.org/a/b.git"]) {
    assert.is(of(given), "an issue at https://example.org/a/b/issues");
    assert.is(of({ url: given }), "an issue at https://example.org/a/b/issues");
  }
  for (const given of [undefined, "", "a/b", "git@example.org:a/b.git"]) {
    assert.is(of(given), "an issue of shadenet's repository");
  }
});

test.run();
