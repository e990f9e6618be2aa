import { GpuError, show, UsageError } from "../ground/errors.ts";
import type { DeviceOptions } from "./device.ts";
import type { Host } from "./host.ts";

/** Browsers before Chromium 131 do not tell what adapter a device is of. */
const UNKNOWN = { vendor: "", architecture: "", device: "", description: "" };

/**
 * The device that openGpu() was given, as if it came from an adapter. It is used with the features and limits that it has.
 * Throws a UsageError for what is no device and for options of a device that is yet to be opened, a GpuError (DEVICE_LOST)
 * where it is lost: then only its owner can open another one.
 */
export function providersOf({ device, powerPreference, limits }: DeviceOptions): ReturnType<Host["providers"]> {
  const isDevice = [device?.createBuffer, device?.queue?.submit, device?.features?.has].every(
    (f) => typeof f === "function",
  );
  if (!device || !isDevice) {
    throw new UsageError(`openGpu(): got ${show(device)} for the device; wanted a GPUDevice`);
  }
  const [name] = Object.entries({ powerPreference, limits }).find(([, value]) => value !== undefined) ?? [];
  if (name) throw new UsageError(`openGpu(): ${name} is for a device that it opens; leave it out, or the device`);
  const adapter: Partial<GPUAdapter> = {
    features: device.features,
    limits: device.limits,
    info: device.adapterInfo ?? (UNKNOWN as GPUAdapterInfo),
    requestDevice: async () => device,
  };
  const requestAdapter = async () => {
    if (!(await Promise.race([device.lost, undefined]))) return adapter as GPUAdapter;
    throw new GpuError("DEVICE_LOST", "the device that openGpu() was given is lost: open another one, and give that");
  };
  return [{ requestAdapter }];
}
