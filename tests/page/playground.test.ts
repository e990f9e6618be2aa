// What the page's playground says of an edited kernel: of what is on screen, and of no device that is gone.
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { referenceOf } from "../../engine/graph/evaluate.ts";
import { GpuError, UsageError } from "../../engine/ground/errors.ts";
import { Playground } from "../../examples/page/worker/playground.ts";
import { openGpu } from "../../index.ts";
import * as kernels from "../../kernels/index.ts";
import { references } from "../../kernels/references.ts";
import { isDeep, open, refuses } from "../harness.ts";

const FOLDER = fileURLToPath(new URL("../../../kernels/", import.meta.url));
const files = readdirSync(FOLDER, { recursive: true, encoding: "utf8" });

/** What the page shows: the file with its comments. */
const shown = (name: string): string => {
  const file = files.find((each) => basename(each) === `${name}.wgsl`);
  return readFileSync(`${FOLDER}${file}`, "utf8");
};

const gpu = await open();
const playground = new Playground(gpu);
const { signal } = new AbortController();
const loading = { signal, onProgress() {} };

/** The source of a kernel with something else in place of one of its lines. */
function edited(name: string, from: string, to: string): string {
  const wgsl = shown(name);
  assert.ok(wgsl.includes(from), `${name} has no ${from}`);
  return wgsl.replace(from, to);
}

async function judge(name: string, wgsl: string, by = playground): Promise<string> {
  const errors = (await by.check(name, wgsl)).filter(({ type }) => type === "error");
  if (errors.length > 0) return errors.map(({ line, message }) => `${line}: ${message}`).join("\n");
  const agreements = await by.compare(name, wgsl, signal);
  return agreements.every(({ ok }) => ok) ? "agrees" : "differs";
}

/** What one kernel's results differ by most. */
const worst = async (name: string, wgsl: string) => (await playground.compare(name, wgsl, signal))[0].worst;

const WORKGROUP = "const WORKGROUP: u32 = 64;";

test("a constant that is typed runs as it is typed", async () => {
  const judged = (to: string) => judge("tanh", edited("tanh", WORKGROUP, to));
  assert.is(await judged(WORKGROUP), "agrees");
  assert.match(await judged("const WORKGROUP: u32 = 4096;"), /^0: .*4096/s);
  assert.match(await judged("const WORKGROUP: u32 = 64.5;"), /^8: /);
  // As many workgroups as before leave elements out, or have threads to spare.
  assert.is(await judged("const WORKGROUP: u32 = 1;"), "differs");
  assert.is(await judged("const WORKGROUP: u32 = 128;"), "agrees");
  assert.is(await judged("const WORKGROUP = 64;"), "agrees");
  assert.is(await judged("const HALF: u32 = 32; const WORKGROUP: u32 = 2 * HALF;"), "agrees");
  assert.match(await judged(""), /^\d+: .*WORKGROUP/s);
  assert.is(
    await judge("softmax", edited("softmax", "const LOG: bool = false;", "const LOG: bool = true;")),
    "differs",
  );
});

test("what is typed runs in a race and in a net, too", async () => {
  const wgsl = edited("tanh", WORKGROUP, "const WORKGROUP: u32 = 1;");
  assert.not((await playground.runNet("tanh", wgsl, loading)).ok);
  assert.ok((await playground.runNet("tanh", shown("tanh"), loading)).ok);
  const huge = edited("tanh", WORKGROUP, "const WORKGROUP: u32 = 4096;");
  await refuses(() => playground.race("tanh", huge, signal), GpuError, "SHADER", /does not compile/);
  await refuses(() => playground.runNet("tanh", huge, loading), GpuError, "SHADER", /does not compile/);
});

test("the worst element is told by its index, and the first layer of a net that differs by how much", async () => {
  // One element alone is wrong: that of index 1, 2, 3, 4 of tanh's example.
  const { shapes } = referenceOf(kernels.tanh, references).example;
  const [, C, H, W] = shapes.x;
  const at = ((1 * C + 2) * H + 3) * W + 4;
  const wgsl = edited("tanh", "y[index] = Element(", `y[index] = Element(f32(select(0u, 9u, index == ${at}u)) + `);
  const { index, got = 0, wanted = 0 } = (await worst("tanh", wgsl)) ?? {};
  assert.equal(index, [1, 2, 3, 4]);
  assert.ok(Math.abs(got - wanted - 9) < 1e-5, `${got} is not ${wanted} + 9`);
  const { first } = await playground.runNet("tanh", wgsl, loading);
  assert.equal([first?.layer, first?.kernel], ["tanh1", "tanh"]);
  assert.ok((first?.difference ?? 0) > 9);
  const nan = await worst(
    "tanh",
    edited("tanh", "y[index] = Element(", "y[index] = Element(bitcast<f32>(params.count | 0x7fc00000u) + "),
  );
  assert.ok(Number.isNaN(nan?.got));
});

test("a ladder has every variant of an operator: what it gains, or why it does not apply", async () => {
  const ladder = await playground.ladder("linear_gemv", loading);
  assert.equal([ladder.operator, ladder.layer, ladder.net], ["linear", "fc", "resnet18"]);
  assert.equal(
    ladder.rungs.map(({ variant }) => variant),
    ["linear", ...(gpu.variants.linear ?? []).map(({ name }) => name)],
  );
  assert.is(ladder.rungs[0].gain, 1);
  assert.equal(ladder.rungs[0].sources, ["linear"]);
  assert.is(ladder.rungs.filter(({ isTaken }) => isTaken).length, 1);
  for (const { variant, gain, milliseconds, reason } of ladder.rungs) {
    if (reason) assert.is(gain, undefined, variant);
    else assert.ok(gain && milliseconds, `${variant} has neither a time nor a reason`);
  }
  await refuses(() => playground.ladder("leaky", loading), UsageError, "USAGE", /no kernel leaky/);
});

test("constants that are set to other values than those that are seen are told of, until they are typed", async () => {
  const told = async (name: string, wgsl = shown(name)) =>
    (await playground.check(name, wgsl)).map(({ type, message }) => [
      type,
      message.replace(/ is set to \d.* here;.*/, ""),
    ]);
  // A software adapter takes seconds to compile the tiles.
  if (isDeep || !gpu.traits.software) {
    assert.equal(await told("conv2d_tile"), [
      ["info", "SIDE"],
      ["info", "EACH"],
      ["info", "SLICES"],
    ]);
    const typed = edited("conv2d_tile", "const SLICES: u32 = 1;", "const SLICES: u32 = 1u;");
    assert.equal(await told("conv2d_tile", typed), [
      ["info", "SIDE"],
      ["info", "EACH"],
    ]);
  } else {
    assert.equal(await told("linear_gemv"), [
      ["info", "THREADS"],
      ["info", "IMAGES"],
    ]);
    const typed = edited("linear_gemv", "const IMAGES: u32 = 1;", "const IMAGES: u32 = 1u;");
    assert.equal(await told("linear_gemv", typed), [["info", "THREADS"]]);
  }
});

test("a lost device is an error of whatever is under way, never an answer", async () => {
  const broken = edited("tanh", "return;", "retrun;");
  const wgsl = shown("tanh");
  const own = await openGpu({ kernelHash: undefined });
  const another = new Playground(own);
  const work: Record<string, () => Promise<unknown>> = {
    check: () => another.check("tanh", broken),
    compare: () => another.compare("tanh", wgsl, signal),
    race: () => another.race("tanh", wgsl, signal),
  };
  const wanted = await another.check("tanh", broken);
  assert.is(wanted.length, 1);
  for (const [what, begin] of Object.entries(work)) {
    const working = begin();
    own.device.destroy();
    await refuses(() => working, GpuError, "DEVICE_LOST", /lost/);
    await own.ready();
    assert.equal(await another.check("tanh", broken), wanted, what);
    assert.is(await judge("tanh", wgsl, another), "agrees", what);
  }
  own.close();
});

test.run();
