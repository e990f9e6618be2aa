import { existsSync, readdirSync } from "node:fs";
import { constants, freemem } from "node:os";
import { delimiter, join } from "node:path";
import type { Host } from "../device/host.ts";
import { GpuError, UsageError } from "../ground/errors.ts";
import { formatBytes } from "../ground/tensor.ts";
import { homeFolder } from "./cache.ts";
import { unpackSwiftShader } from "./embedded.ts";
import { openFile } from "./files.ts";
import { folderStorage } from "./storage.ts";

/**
 * Node's way to an adapter: Dawn (npm `webgpu`) on the system's driver, else on SwiftShader, a software Vulkan driver
 * that comes inside npm `@sparticuz/chromium` (Linux on x64; a development dependency, so only there when installed).
 * The environment variable SHADENET_ADAPTER chooses: "system", "embedded", or "none" to test what happens without one.
 */
export const nodeHost: Host = {
  providers() {
    const choice = process.env.SHADENET_ADAPTER ?? "";
    const system = { requestAdapter: requestSystem };
    if (choice === "system") return [system];
    if (choice === "none") return [];
    const embedded = {
      requestAdapter: requestEmbedded,
      fallback:
        choice === "embedded"
          ? "SHADENET_ADAPTER=embedded asks for it"
          : "no GPU and no system Vulkan driver was found",
    };
    const isEmbeddable = process.platform === "linux" && process.arch === "x64";
    if (choice === "") return isEmbeddable ? [system, embedded] : [system];
    if (choice === "embedded") {
      if (isEmbeddable) return [embedded];
      const here = `${process.platform} on ${process.arch}`;
      throw new UsageError(`SHADENET_ADAPTER is "embedded", which is for Linux on x64, and this is ${here}; unset it`);
    }
    throw new UsageError(`SHADENET_ADAPTER is "${choice}"; it can be system, embedded, none or unset`);
  },
  advice:
    {
      linux:
        "install the Vulkan driver of your GPU, or a software one: apt install mesa-vulkan-drivers (Debian 13, Ubuntu 24.04 or " +
        "later), dnf install mesa-vulkan-drivers (Fedora), or npm install @sparticuz/chromium (x64, no root needed)",
      darwin: "WebGPU needs macOS 11 or later and a GPU with Metal",
      win32: "install the GPU's driver with Direct3D 12; Windows 10 or later also has WARP, a software adapter",
    }[process.platform as string] ?? `npm webgpu has no build for ${process.platform}`,
  checkMemory,
  open: openFile,
  storage: folderStorage,
  settle: settleSleeping,
};

/** What Dawn runs on: the first choice of the platform, unless its own variable of the environment names another one. */
export const backendName = (): string =>
  process.env.DAWNNODE_BACKEND?.toLowerCase() ||
  ({ linux: "vulkan", darwin: "metal", win32: "d3d12" }[process.platform as string] ?? "unknown");

/** Throws a GpuError (OUT_OF_MEMORY) unless so many bytes are free. */
export function checkMemory(bytes: number, free = freemem()): void {
  if (bytes > free) throw new GpuError("OUT_OF_MEMORY", `the machine has ${formatBytes(free)} of free memory`);
}

/**
 * Dawn's entry points by driver. Made on first use, so that importing shadenet neither opens a driver nor fails where
 * there is none; kept for good, since Dawn crashes when one is collected while its device still has something to tell.
 */
const instances = new Map<string, GPU>();

/**
 * Timestamps to the nanosecond, since a kernel takes less than the 65 us to which they are rounded against prying pages;
 * what Dawn holds back as experimental (subgroup matrices); and f16 on NVIDIA, which its driver has.
 */
const FLAGS = [
  "disable-dawn-features=timestamp_quantization",
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia",
];

async function dawn(driver: "system" | "embedded"): Promise<GPU> {
  const { create } = await importDawn();
  const instance = instances.get(driver) ?? create(FLAGS);
  instances.set(driver, instance);
  return instance;
}

/** Dawn has 130 MB, which nobody wants who is in browsers only: it is an optional peer of this package. */
async function importDawn(): Promise<{ create: (flags: string[]) => GPU }> {
  try {
    return (await import("webgpu")) as { create: (flags: string[]) => GPU };
  } catch (cause) {
    // Bundlers for servers have a code of their own.
    const isMissing = /MODULE_NOT_FOUND$/.test((cause as NodeJS.ErrnoException).code ?? "");
    const what = isMissing ? 'the package "webgpu" is not installed' : `"webgpu" fails: ${(cause as Error).message}`;
    const advice = "Node has no WebGPU of its own: npm install webgpu, which is Dawn";
    throw new GpuError("NO_ADAPTER", `${what}; ${advice}`, { cause });
  }
}

async function requestSystem(options: GPURequestAdapterOptions): Promise<GPUAdapter | null> {
  if (process.platform === "linux" && !hasVulkanDriver()) return null;
  const instance = await dawn("system");
  try {
    return await instance.requestAdapter(options);
  } catch (cause) {
    // As for a DAWNNODE_BACKEND that it does not know.
    throw new GpuError("NO_ADAPTER", `Dawn gives no adapter: ${(cause as Error).message}`, { cause });
  }
}

/** Looks where the Vulkan loader looks, since Dawn prints warnings of its own when there is no driver. */
function hasVulkanDriver(): boolean {
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES, XDG_DATA_DIRS, XDG_DATA_HOME } = process.env;
  const files = [VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES].filter((value) => value !== undefined);
  if (files.length > 0) return files.some((list) => list.split(delimiter).some((file) => existsSync(file)));
  const data = [
    XDG_DATA_HOME ?? join(homeFolder() ?? "/", ".local/share"),
    ...(XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(":"),
  ];
  const folders = ["/etc", "/usr/local/etc", ...data].map((folder) => join(folder, "vulkan/icd.d"));
  return folders.some((folder) => existsSync(folder) && readdirSync(folder).some((file) => file.endsWith(".json")));
}

async function requestEmbedded(options: GPURequestAdapterOptions): Promise<GPUAdapter | null> {
  const folder = await unpackSwiftShader();
  if (!folder) return null;
  const driver = join(folder, "vk_swiftshader_icd.json");
  const before = { VK_DRIVER_FILES: process.env.VK_DRIVER_FILES, VK_ICD_FILENAMES: process.env.VK_ICD_FILENAMES };
  // Node's process.env reaches the Vulkan loader's getenv(). VK_DRIVER_FILES wins where the loader knows it.
  Object.assign(process.env, { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver });
  try {
    preload(join(folder, "libvulkan.so.1"));
    return await (await dawn("embedded")).requestAdapter(options);
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

/** Brings in a Vulkan loader, so that Dawn's dlopen("libvulkan.so.1") finds it on a machine that has none. */
function preload(library: string): void {
  const RTLD_NODELETE = 0x1000;
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | RTLD_NODELETE);
  } catch (error) {
    // It is no Node addon, and Node says so once it is loaded.
    if (!/did not self-register/.test((error as Error).message)) throw error;
  }
}

const cell = new Int32Array(new SharedArrayBuffer(4));
let waits = 0;

/** Milliseconds to sleep between two polls, each of which takes 0.03: so long that it does not show in what is waited for. */
const pause = (waited: number): number => (waits > 1 ? 0.2 : Math.min(Math.max(0.2, waited / 32), 2));

/**
 * Dawn polls through setImmediate as long as a promise is pending, which takes a core from a software adapter that
 * needs it: sleep between polls. Shortly while several promises are waited for, since whoever compiles may also read.
 */
async function settleSleeping<T>(promise: Promise<T>): Promise<T> {
  const start = performance.now();
  let pending = true;
  waits++;
  const done = () => {
    pending = false;
    waits--;
  };
  promise.then(done, done);
  await Promise.resolve();
  while (pending) {
    await new Promise((resolve) => setImmediate(resolve));
    if (pending) Atomics.wait(cell, 0, 0, pause(performance.now() - start));
  }
  return promise;
}
