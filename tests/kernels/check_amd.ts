// npm run check:amd: what Mesa's compiler for AMD's GPUs (RADV) makes of the kernels that nets take on one, which need not be
// there: RADV has a device without hardware, for which it compiles and tells its statistics. A kernel whose registers are spilled
// fails. Needs a C compiler and RADV of Mesa 25 or before, which still has that device; else it says so and is done.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create } from "webgpu";
import { trace } from "../../engine/definition.ts";
import { compile } from "../../engine/graph/compile.ts";
import type { Step } from "../../engine/graph/plan.ts";
import type { Dtype } from "../../engine/ground/options.ts";
import { rates } from "../../kernels/rates.ts";
import { variants } from "../../kernels/variants.ts";
import { nets } from "../../nets/index.ts";
import { matricesOf } from "../harness.ts";

const DRIVER = "/usr/share/vulkan/icd.d/radeon_icd.json";
/** An RDNA3 GPU, the first family with matrix instructions. */
const FAMILY = "NAVI31";

/** Nets that together have every kernel for GPUs, in every size that an estimate takes. */
const NETS = [
  "alexnet",
  "vgg16",
  "resnet50",
  "mobilenet_v2",
  "efficientnet_b0",
  "densenet121",
  "regnet_y_400mf",
  "vit_b_32",
];

/** What RADV tells of a pipeline, by our names: registers count 32 bits per lane, latency and throughput are cycles. */
const TOLD = {
  registers: "VGPRs",
  spilled: "Spilled VGPRs",
  memory: "LDS size",
  latency: "Latency",
  throughput: "Inverse Throughput",
} as const;

/** The device without hardware has no functions to record commands with, and Dawn calls one: it returns at once. */
const NO_FUNCTION = `
#define _GNU_SOURCE
#include <signal.h>
#include <ucontext.h>
static void leave(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  if (registers[REG_RIP] != 0) { signal(SIGSEGV, SIG_DFL); return; }
  registers[REG_RIP] = *(long *)registers[REG_RSP];
  registers[REG_RSP] += 8;
  registers[REG_RAX] = 0;
}
__attribute__((constructor)) static void begin(void) {
  struct sigaction action = {0};
  action.sa_sigaction = leave;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, 0);
}`;

const MARK = "### ";
const MATRICES = "chromium-experimental-subgroup-matrix";

/** The different pipelines of the nets on an AMD GPU, by what they are called. */
function pipelines(limits: GPUSupportedLimits): Map<string, string> {
  const { maxStorageBufferBindingSize: maxBinding, maxComputeWorkgroupStorageSize: memory } = limits;
  const matrices = matricesOf({ subgroup: 64, sized: true, memory });
  const traits = { subgroupSize: 0, software: false, maxBinding, f16: true, matrices, rates: rates.amd };
  const steps = NETS.flatMap((name) =>
    (["f32", "f16"] as const).flatMap((dtype: Dtype) =>
      [1, 32].flatMap((batch) => {
        const plan = compile(trace(nets[name], { batch }), ["logits"], { traits, limits, variants }, { dtype });
        return plan.steps.map((step): [Step, Dtype] => [step, dtype]);
      }),
    ),
  );
  const named = new Map<string, string>();
  for (const [{ kernel, code }, dtype] of steps) {
    if ([...named.values()].includes(code)) continue;
    const others = [...named.keys()].filter((name) => name.startsWith(`${kernel} ${dtype}`)).length;
    named.set(`${kernel} ${dtype}${others > 0 ? ` (${others + 1})` : ""}`, code);
  }
  return named;
}

/** Dawn, kept for good: see ARCHITECTURE.md. */
let dawn: GPU | undefined;

/** Compiles all of them: RADV tells of each between the lines that this writes. */
async function compileAll(): Promise<void> {
  dawn = create(["enable-dawn-features=allow_unsafe_apis"]);
  const adapter = await dawn.requestAdapter();
  if (!adapter) throw new Error("there is no RADV");
  const device = await adapter.requestDevice({
    requiredFeatures: ["shader-f16", "subgroups", "subgroup-size-control", MATRICES] as GPUFeatureName[],
    requiredLimits: {
      maxComputeWorkgroupStorageSize: adapter.limits.maxComputeWorkgroupStorageSize,
      maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
      maxBufferSize: adapter.limits.maxBufferSize,
    },
  });
  for (const [name, code] of pipelines(device.limits)) {
    process.stderr.write(`${MARK}${name}\n`);
    const module = device.createShaderModule({ code });
    await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  }
  process.stderr.write(`${MARK}\n`);
  process.exit();
}

/** What RADV and compileAll() write of all pipelines; a text that says why not, where something is missing. */
function compileOn(folder: string): { readonly told: string } | string {
  if (!existsSync(DRIVER)) return `there is no ${DRIVER} (Debian's mesa-vulkan-drivers has it)`;
  const [source, library, log] = ["no_function.c", "no_function.so", "log"].map((name) => join(folder, name));
  writeFileSync(source, NO_FUNCTION);
  if (spawnSync("cc", ["-shared", "-fPIC", "-o", library, source]).status !== 0) return "there is no C compiler (cc)";
  const env = {
    ...process.env,
    LD_PRELOAD: library,
    VK_DRIVER_FILES: DRIVER,
    VK_ICD_FILENAMES: DRIVER,
    RADV_FORCE_FAMILY: FAMILY,
    RADV_DEBUG: "shaderstats,nocache",
  };
  const args = ["--disable-wasm-trap-handler", fileURLToPath(import.meta.url), "--compile"];
  // To a file: RADV leaves out what a pipe does not take at once.
  spawnSync(process.execPath, args, { env, stdio: ["ignore", "ignore", openSync(log, "w")], timeout: 600_000 });
  const told = readFileSync(log, "utf8");
  if (told.includes("RADV_FORCE_FAMILY=<family> has been removed"))
    return "RADV of Mesa 26 has no such device any more";
  return told.includes(MARK) ? { told } : `RADV gave no device: ${told.slice(-300)}`;
}

/** A line for every pipeline; true if all were compiled and none spills. */
function report(told: string): boolean {
  const parts = told.split(MARK).slice(1);
  const end = parts.pop()?.trim();
  console.log(["kernel", ...Object.keys(TOLD)].join("\t"));
  const bad = parts.sort().filter((part) => {
    const [name] = part.split("\n", 1);
    const numbers = Object.values(TOLD).map((line) => Number(new RegExp(`^${line}: (\\d+)$`, "m").exec(part)?.[1]));
    const isGood = numbers.every(Number.isFinite) && numbers[1] === 0;
    console.log([name, ...numbers, ...(isGood ? [] : ["FAIL"])].join("\t"));
    return !isGood;
  });
  if (end) console.log(`RADV's compiler ended at ${end.split("\n", 1)[0]}`);
  return bad.length === 0 && !end;
}

function check(): void {
  const folder = mkdtempSync(join(tmpdir(), "shadenet-amd-"));
  try {
    const result = compileOn(folder);
    if (typeof result === "string") console.log(`skipped: ${result}`);
    else process.exitCode = report(result.told) ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv.includes("--compile")) await compileAll();
else check();
