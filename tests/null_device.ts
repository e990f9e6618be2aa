import { create } from "webgpu";

/** Kept for good: Dawn crashes when an instance is collected while its device still has something to tell. */
const dawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);

/** What kernels enable, by Dawn's names. */
export const FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "chromium-experimental-subgroup-matrix",
] as const;

/** A device without a driver, with all of these features: it reads every source, and computes nothing. */
export async function nullDevice(features: readonly string[] = FEATURES): Promise<GPUDevice> {
  const adapter = await dawn.requestAdapter();
  if (!adapter) throw new Error("Dawn has no null backend");
  return adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[] });
}
