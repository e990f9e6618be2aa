// npm run check: compiles every .wgsl of kernels/ as it stands and tells what the compiler says. Exit code 1 if one fails.
// What needs features that the device lacks is checked by Dawn's front end alone, on its device without a driver.
import { readdirSync, readFileSync } from "node:fs";
import { openGpu } from "../../index.ts";
import { nullDevice } from "../null_device.ts";

const folder = new URL("../../../kernels/", import.meta.url);
const gpu = await openGpu();
console.log(`compiling on ${gpu.adapter.name}`);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".wgsl"));
for (const file of files.sort()) {
  const code = readFileSync(new URL(file, folder), "utf8");
  const missing = featuresOf(code).filter((name) => !gpu.device.features.has(name));
  const problems = await compile(missing.length === 0 ? gpu.device : await nullDevice(), file, code);
  const note = missing.length === 0 ? "" : ` (front end only: the adapter has no ${missing.join(", ")})`;
  console.log(problems.length === 0 ? `ok   ${file}${note}` : `FAIL ${problems.join("\n     ")}`);
  if (problems.length > 0) process.exitCode = 1;
}
gpu.close();

/** The compiler's errors and warnings; then what the device has against the pipeline. */
async function compile(device: GPUDevice, file: string, code: string): Promise<string[]> {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: file, code });
  const { messages } = await gpu.settle(module.getCompilationInfo());
  const problems = messages.map(({ type, message, lineNum, linePos }) => {
    return `kernels/${file}:${lineNum}:${linePos}: ${type}: ${message}`;
  });
  if (problems.length === 0 && device === gpu.device) {
    const pipeline = device.createComputePipelineAsync({ label: file, layout: "auto", compute: { module } });
    await gpu.settle(pipeline).catch((error: Error) => problems.push(`kernels/${file}: ${error.message}`));
  }
  await gpu.settle(device.popErrorScope());
  return problems;
}

/** The features that a source enables. */
function featuresOf(code: string): GPUFeatureName[] {
  const names = [...code.matchAll(/^enable (\w+);/gm)].map(([, name]) => name);
  return names.map((name) => (name === "f16" ? "shader-f16" : name.replaceAll("_", "-")) as GPUFeatureName);
}
