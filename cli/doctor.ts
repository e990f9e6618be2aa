import type { Command } from "commander";
import type { Traits } from "../engine/graph/variant.ts";
import { cacheFolder } from "../engine/node/cache.ts";
import { backendName } from "../engine/node/dawn.ts";
import { type AdapterSummary, ShadenetError } from "../index.ts";
import { type CommonOptions, type Context, command } from "../tools/command.ts";
import { binaryBytes, columns, oneLine } from "../tools/format.ts";
import { ownVersion, versionOf } from "../tools/package.ts";
import { openDevice } from "../tools/session.ts";
import { errorFacts, paint, print, printJson } from "../tools/terminal.ts";
import { type SelfTest, selfTests } from "./selftest.ts";

const PACKAGES = ["webgpu", "@cwasm/jpeg-turbo", "@sparticuz/chromium"];

const LIMITS = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
  "maxStorageBuffersPerShaderStage",
] as const;

export function doctorCommand(context: Context): Command {
  return command(
    "doctor",
    "tell what shadenet runs on here, and test every kernel on it",
    "npx shadenet doctor",
  ).action((options: CommonOptions) => doctor(options, context));
}

async function doctor({ json }: CommonOptions, context: Context): Promise<void> {
  const system = {
    shadenet: ownVersion(),
    node: process.versions.node,
    platform: `${process.platform} ${process.arch}`,
    packages: Object.fromEntries(PACKAGES.map((name) => [name, versionOf(name) ?? null])),
    backend: backendName(),
    cache: cacheFolder(),
  };
  if (!json) printRows(systemRows(system));
  const gpu = await openDevice(context).catch((error) => {
    if (json && error instanceof ShadenetError) {
      printJson({ ...system, adapter: null, error: errorFacts(error) });
    }
    throw error;
  });
  try {
    const { adapter, device } = gpu;
    const limits = Object.fromEntries(LIMITS.map((name) => [name, device.limits[name]]));
    const features = [...device.features].sort();
    if (!json) {
      printRows([...adapterRows(adapter, limits, features), ["Kernels", kernelsUse(gpu.traits)]]);
      print(`\n${paint("bold", "Self-test of every kernel against its float64 reference")}`);
    }
    const tests: SelfTest[] = [];
    for await (const test of selfTests(gpu)) {
      context.signal.throwIfAborted();
      tests.push(test);
      if (!json) print(testLine(test));
    }
    const failed = tests.filter(({ ok }) => !ok).length;
    if (failed > 0) process.exitCode = 1;
    const { rates, ...traits } = gpu.traits;
    const uses = { ...traits, dispatch: rates?.dispatch };
    if (json) printJson({ ...system, adapter, limits, features, traits: uses, kernels: tests });
    else
      print(failed > 0 ? paint("red", `${failed} of ${tests.length} kernels fail.`) : paint("green", "All is well."));
  } finally {
    gpu.close();
  }
}

function systemRows(system: {
  shadenet: string;
  node: string;
  platform: string;
  backend: string;
  cache: string;
  packages: object;
}) {
  const packages = Object.entries(system.packages).map(([name, version]) => `${name} ${version ?? "(not installed)"}`);
  return [
    ["shadenet", system.shadenet],
    ["Node", `${system.node} on ${system.platform}`],
    ["Packages", packages.join(", ")],
    ["Backend", system.backend],
    ["Cache", system.cache],
  ];
}

function adapterRows(adapter: AdapterSummary, limits: Readonly<Record<string, number>>, features: readonly string[]) {
  const inBytes = (name: string) => name.endsWith("Size");
  return [
    ["Adapter", adapter.name],
    ["Device", [adapter.vendor, adapter.architecture, adapter.device].filter(Boolean).join(", ")],
    ["Driver", adapter.description || "not told"],
    ["Kind", adapter.software ? "software, runs on the CPU" : "GPU"],
    ["Fallback", adapter.fallback ? `yes: ${adapter.fallback}` : "no, this is the first choice"],
    ["Features", features.join(", ") || "none"],
    ...Object.entries(limits).map(([name, value], i) => [
      i === 0 ? "Limits" : "",
      `${name} ${inBytes(name) ? binaryBytes(value) : value}`,
    ]),
  ];
}

/** What kernels are chosen by. */
function kernelsUse({ subgroupSize, f16, matrices, rates }: Traits): string {
  return [
    subgroupSize > 0 ? `subgroups of ${subgroupSize}` : "no subgroups of one size",
    f16 ? "f16" : "no f16",
    matrices
      ? `matrices of ${matrices.m}x${matrices.n}x${matrices.k} in ${matrices.factors} by subgroups of ${matrices.subgroup}`
      : "no matrix units",
    ...(rates ? [`${(rates.dispatch * 1e6).toPrecision(2)} us for a dispatch`] : []),
  ].join(", ");
}

function printRows(rows: readonly (readonly string[])[]): void {
  for (const line of columns(rows)) print(line);
}

function testLine({ kernel, ok, error, message }: SelfTest): string {
  const verdict = ok ? paint("green", "ok  ") : paint("red", "FAIL");
  const measured = error === undefined ? oneLine(message ?? "") : `error ${error.toExponential(1)}`;
  return `  ${kernel.padEnd(24)}  ${verdict}  ${measured}`;
}
