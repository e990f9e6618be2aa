import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { GpuError } from "../../engine/ground/errors.ts";
import { median } from "../../engine/ground/statistics.ts";
import type { NetRow } from "../report/report.ts";

const PROGRAM = fileURLToPath(new URL("first_result.js", import.meta.url));

/** A process that has told nothing by then has failed. */
const LIMIT_MS = 10 * 60_000;

/** What keeps drivers from remembering compiled shaders: Mesa's, and NVIDIA's. */
const UNCACHED = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0" };

/**
 * Milliseconds from the start of a new process until it has the first logits of a net: medians of `runs`, without and
 * with what the driver kept of an earlier process. `weights` is a file. Throws a GpuError when there is no result.
 */
export async function coldStart(
  net: string,
  weights: string,
  runs: number,
  signal: AbortSignal,
): Promise<NonNullable<NetRow["cold"]>> {
  const uncached: number[] = [];
  const cached: number[] = [];
  for (let run = 0; run < runs; run++) {
    uncached.push(await firstResult(net, weights, UNCACHED, signal));
    // For the driver to keep what the next one finds.
    if (run === 0) await firstResult(net, weights, {}, signal);
    cached.push(await firstResult(net, weights, {}, signal));
  }
  return { uncached: median(uncached), cached: median(cached) };
}

function firstResult(
  net: string,
  weights: string,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, [PROGRAM, net, weights], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
    signal,
  });
  let milliseconds: number | undefined;
  let errors = "";
  child.stdout.on("data", () => {
    milliseconds ??= performance.now() - start;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, killed) => {
      if (milliseconds !== undefined && code === 0) return resolve(milliseconds);
      const message = errors.split("\n").findLast((line) => /Error: /.test(line)) ?? `it ended with ${killed ?? code}`;
      reject(new GpuError("GPU", `a new process gave no result of ${net}: ${message}`));
    });
  });
}
