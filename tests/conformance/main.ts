import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { Command } from "commander";
import { openGpu, nets as zoo } from "../../index.ts";
import {
  type CaseResult,
  type GradientResult,
  type NetResult,
  runCase,
  runGradients,
  runNet,
  runStages,
} from "./conformance.ts";
import { openCases, openGradients, readNets, readTraining } from "./goldens.ts";
import { type OnnxResult, onnxCases, runOnnx } from "./onnx.ts";
import { runRoundTrip } from "./round_trips.ts";
import { runTraining, type TrainingResult } from "./training.ts";
import { runWebnn, webnnCases } from "./webnn.ts";

// npm run conformance -- [--cases FILE.json] [--nets FILE.json] [--grads FILE.json] [--training FILE.json] [--onnx PATH] [--onnx-round-trips] [--webnn PATH] [--only REGEX] [--stages] [--json FILE]

const { cases, nets, grads, training, onnx, onnxRoundTrips, webnn, only, stages, json } = new Command("conformance")
  .description("Checks every operator and net against PyTorch's reference outputs.")
  .option("--cases <file>", "operator cases (default: the committed ones, unless other files are given)")
  .option("--nets <file>", "nets (default: the committed ones, unless other files are given)")
  .option("--grads <file>", "gradients of operators")
  .option("--training <file>", "whole training runs")
  .option("--onnx <path>", "ONNX's backend tests: a folder of model.onnx and test_data_set_0, or one of such folders")
  .option("--onnx-round-trips", "every net, exported to ONNX and read back")
  .option("--webnn <path>", "WebNN's web-platform-tests: their folder webnn/conformance_tests")
  .option("--only <regex>", "only those of these whose id it matches", ".")
  .option("--stages", "every layer of the nets, too, not only the logits")
  .option("--json <file>", "writes the results to a file")
  .parse()
  .opts<{
    cases?: string;
    nets?: string;
    grads?: string;
    training?: string;
    onnx?: string;
    onnxRoundTrips?: boolean;
    webnn?: string;
    only: string;
    stages?: boolean;
    json?: string;
  }>();

const wanted = new RegExp(only);
const isDefault = !cases && !nets && !grads && !training && !onnx && !onnxRoundTrips && !webnn;
const gpu = await openGpu();
const caseResults: CaseResult[] = [];
const netResults: NetResult[] = [];
const gradientResults: GradientResult[] = [];
const trainingResults: TrainingResult[] = [];
const onnxResults: OnnxResult[] = [];
try {
  console.log(`adapter: ${gpu.adapter.name}`);
  if (cases || isDefault) {
    const file = await openCases(cases);
    for (const test of file.cases.filter(({ id }) => wanted.test(id))) {
      const result = await runCase(gpu, test, file);
      caseResults.push(result);
      if (result.status === "skip") console.error(`skipped ${result.id}: ${result.message}`);
      else
        console.log(
          `${result.status} ${result.id}${result.k === undefined ? "" : ` k ${result.k.toFixed(2)}`} ${result.message ?? ""}`,
        );
    }
  }
  if (nets || isDefault) {
    const file = readNets(nets);
    for (const key of Object.keys(file.nets).filter((key) => wanted.test(key))) {
      const start = performance.now();
      const result = await runNet(gpu, file, key);
      const missed = stages && result.status === "pass" ? (await runStages(gpu, file, key)).filter(isOver) : [];
      if (missed.length > 0) {
        const list = missed.map(({ stage, errOverRms, limit }) => `${stage} (${errOverRms}, limit ${limit})`);
        Object.assign(result, { status: "fail", message: `off at ${list.join(", ")}` });
      }
      netResults.push(result);
      const { torch_f32_max_err_over_rms: torch } = file.nets[key];
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      if (result.status === "skip") console.error(`skipped ${key}: ${result.message}`);
      else if (result.errOverRms === undefined) console.log(`fail ${key} ${result.message}`);
      else {
        const figures = [result.errOverRms, result.limit, torch].map((v) => v.toExponential(2));
        console.log(
          `${result.status} ${key} error/rms ${figures[0]}, limit ${figures[1]}, PyTorch float32 ${figures[2]} (${seconds} s) ${result.message ?? ""}`,
        );
      }
    }
  }
  if (grads) {
    const file = await openGradients(grads);
    for (const test of file.cases.filter(({ id }) => wanted.test(id))) {
      for (const result of await runGradients(gpu, test, file)) {
        gradientResults.push(result);
        const { status, id, name, err, message = "" } = result;
        console.log(
          `${status} ${id} d${name}${err === undefined ? "" : ` error/rms ${err.toExponential(2)}`} ${message}`,
        );
      }
    }
  }
  if (training) {
    const file = readTraining(training);
    for (const key of Object.keys(file.runs).filter((key) => wanted.test(key))) {
      const start = performance.now();
      const result = await runTraining(gpu, file, key);
      trainingResults.push(result);
      const { status, lossErr, limit, message } = result;
      const figures = [lossErr ?? NaN, limit].map((v) => v.toExponential(2));
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.log(`${status} ${key} loss off by ${figures[0]}, limit ${figures[1]} (${seconds} s) ${message}`);
    }
  }
  const tell = (result: OnnxResult) => {
    onnxResults.push(result);
    const { status, id, message } = result;
    console.log(status === "skip" ? `not applicable ${id} ${message}` : `${status} ${id} ${message}`);
  };
  for (const folder of onnx ? onnxCases(onnx) : []) if (wanted.test(basename(folder))) tell(await runOnnx(gpu, folder));
  for (const [name, net] of onnxRoundTrips ? Object.entries(zoo) : [])
    if (wanted.test(name)) tell(await runRoundTrip(gpu, net));
  for (const test of webnn ? webnnCases(webnn) : []) if (wanted.test(test.id)) tell(await runWebnn(gpu, test));
} catch (error) {
  console.error(`conformance: ${(error as Error).message}`);
  process.exitCode = 2;
} finally {
  gpu.close();
}

/** NaN is over any limit. */
function isOver({ errOverRms, limit }: { errOverRms: number; limit: number }): boolean {
  return !(errOverRms <= limit);
}

const all = [...caseResults, ...netResults, ...gradientResults, ...trainingResults, ...onnxResults];
const count = (status: string) => all.filter((result) => result.status === status).length;
if (json) {
  const results = {
    adapter: gpu.adapter.name,
    cases: caseResults.map((result) => ({ k: null, message: "", ...result })),
    nets: netResults.map((result) => ({ errOverRms: null, message: "", ...result })),
    grads: gradientResults.map((result) => ({ err: null, message: "", ...result })),
    training: trainingResults,
    onnx: onnxResults,
  };
  writeFileSync(json, `${JSON.stringify(results, null, 1)}\n`);
}
console.log(
  `${count("pass")} passed, ${count("fail")} failed, ${count("skip")} ${onnx || webnn ? "not applicable" : "skipped"}`,
);
if (count("fail") > 0 || all.length === 0) process.exitCode ??= 1;
