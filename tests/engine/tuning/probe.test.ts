import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Host } from "../../../engine/device/host.ts";
import type { Gpu } from "../../../engine/gpu.ts";
import { nameFor } from "../../../engine/tuning/kept.ts";
import { probe as probeDevice } from "../../../engine/tuning/probe.ts";
import { openGpu } from "../../../index.ts";
import { rates } from "../../../kernels/rates.ts";
import { open } from "../../harness.ts";

const gpu = await open();
const hasSubgroups = gpu.traits.subgroupSize >= 4;

/** Probes a device that keeps texts by name: what it learned, and what is kept then. */
async function probe(texts: Record<string, string>, more: Partial<Gpu> = {}) {
  const kept = new Map(Object.entries(texts));
  const storage: Host["storage"] = {
    read: async (name) => kept.get(name),
    update: async (name, change) => void kept.set(name, change(kept.get(name))),
  };
  const { device, adapter } = gpu;
  const traits = { ...gpu.traits, fastLoads: undefined };
  const own = {
    device,
    adapter,
    traits,
    options: { kernelHash: "abc" },
    host: { storage },
    measured: {},
    ...more,
  } as unknown as Gpu;
  await probeDevice(own);
  assert.equal(own.traits.fastLoads, own.measured.fastLoads);
  return { fastLoads: own.traits.fastLoads, rates: own.traits.rates, kept: Object.fromEntries(kept) };
}

const name = nameFor("probed", gpu.adapter);
const broken = { createBuffer: () => assert.unreachable("it measures") } as unknown as GPUDevice;

if (hasSubgroups) {
  test("what is measured is kept by adapter and driver", async () => {
    const { fastLoads, kept } = await probe({});
    assert.equal(kept, { [name]: String(fastLoads) });
  });

  test("what was kept is not measured again", async () => {
    for (const fastLoads of [true, false])
      assert.is((await probe({ [name]: String(fastLoads) }, { device: broken })).fastLoads, fastLoads);
  });

  test("what is damaged, or of another driver, is measured again", async () => {
    const damaged = await probe({ [name]: "tru" });
    assert.match(damaged.kept[name], /^(true|false)$/);
    const updated = { ...gpu.adapter, description: "Mesa 99.1" };
    const { kept } = await probe({ [name]: "true" }, { adapter: updated });
    assert.equal(Object.keys(kept).sort(), [name, nameFor("probed", updated)].sort());
  });

  test("a storage that does not work is done without", async () => {
    const fails = async () => assert.unreachable("no storage");
    const { fastLoads } = await probe({}, { host: { storage: { read: fails, update: fails } } as unknown as Host });
    assert.is(typeof fastLoads, "boolean");
  });

  test("nothing is kept where nothing is to be", async () => assert.equal((await probe({}, { options: {} })).kept, {}));

  test("where it cannot be measured loads are taken for slow", async () => {
    const lost = new Proxy(gpu.device, {
      get(device, key) {
        if (key === "createComputePipelineAsync") return () => Promise.reject(new Error("lost"));
        const value = Reflect.get(device, key);
        return typeof value === "function" ? value.bind(device) : value;
      },
    });
    assert.is((await probe({}, { device: lost })).fastLoads, false);
  });
}

test("without subgroups there is nothing to measure loads by", async () => {
  const traits = { ...gpu.traits, subgroupSize: 0, fastLoads: undefined };
  const { fastLoads, kept } = await probe({}, { traits, device: broken });
  assert.equal([fastLoads, kept], [undefined, {}]);
});

// A software adapter in the place of a GPU: its dispatches cost something, too.
const traits = { ...gpu.traits, software: false, fastLoads: undefined, rates: rates.nvidia };
const dispatchName = nameFor("dispatch", gpu.adapter);

test("of a GPU the cost of a dispatch is measured, and kept", async () => {
  const { rates: found, fastLoads, kept } = await probe({}, { traits });
  const dispatch = found?.dispatch ?? 0;
  assert.is(fastLoads, undefined);
  // A busy machine may be too slow to be believed.
  if (dispatch === rates.nvidia.dispatch) assert.equal(kept, {});
  else {
    assert.ok(dispatch >= 1e-6 && dispatch <= 2e-4, String(dispatch));
    assert.equal(kept, { [dispatchName]: String(dispatch) });
  }
  assert.equal({ ...found, dispatch: 0 }, { ...rates.nvidia, dispatch: 0 });
});

test("a kept cost of a dispatch is not measured again, unless nobody could believe it", async () => {
  const again = async (text: string) =>
    (await probe({ [dispatchName]: text }, { traits, device: broken })).rates?.dispatch;
  assert.is(await again("0.00005"), 5e-5);
  for (const text of ["", "NaN", "0", "-1", "1", "1e-9", "a"]) {
    let isMeasured = false;
    const createBuffer = () => {
      isMeasured = true;
      throw new Error("out of memory");
    };
    const device = { createBuffer } as unknown as GPUDevice;
    const { rates: found } = await probe({ [dispatchName]: text }, { traits, device });
    assert.ok(isMeasured, text);
    assert.is(found?.dispatch, rates.nvidia.dispatch, "that of the vendor");
  }
});

test("a cost that cannot be kept is not measured, so that every program plans the same", async () => {
  for (const more of [{ options: {} }, { host: {} as Host }]) {
    const { rates: found, kept } = await probe({}, { traits, device: broken, ...more });
    assert.equal([found, kept], [rates.nvidia, {}]);
  }
});

test("a device that is opened again is still known", async () => {
  const own = await openGpu({ kernelHash: undefined });
  try {
    const fastLoads = !own.traits.fastLoads;
    own.measured.fastLoads = fastLoads;
    own.device.destroy();
    await own.device.lost;
    await own.ready();
    assert.equal([own.generation, own.traits.fastLoads], [2, fastLoads]);
  } finally {
    own.close();
  }
});

test.run();
