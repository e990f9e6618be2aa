// npm run check: compiles every kernels/*.wgsl as it stands and tells what the compiler says. Exit code 1 if one fails.
import { readdirSync, readFileSync } from "node:fs";
import { openGpu } from "../index.ts";

const folder = new URL("../../kernels/", import.meta.url);
const gpu = await openGpu();
console.log(`compiling on ${gpu.adapter.name}`);
for (const file of readdirSync(folder).filter((name) => name.endsWith(".wgsl"))) {
  const problems = await compile(file, readFileSync(new URL(file, folder), "utf8"));
  console.log(problems.length === 0 ? `ok   ${file}` : `FAIL ${problems.join("\n     ")}`);
  if (problems.length > 0) process.exitCode = 1;
}
gpu.close();

/** The compiler's errors and warnings; then what the device has against the pipeline. */
async function compile(file: string, code: string): Promise<string[]> {
  const { device } = gpu;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ label: file, code });
  const { messages } = await gpu.settle(module.getCompilationInfo());
  const problems = messages.map(({ type, message, lineNum, linePos }) => {
    return `kernels/${file}:${lineNum}:${linePos}: ${type}: ${message}`;
  });
  if (problems.length === 0) {
    const pipeline = device.createComputePipelineAsync({ label: file, layout: "auto", compute: { module } });
    await gpu.settle(pipeline).catch((error: Error) => problems.push(`kernels/${file}: ${error.message}`));
  }
  await gpu.settle(device.popErrorScope());
  return problems;
}
