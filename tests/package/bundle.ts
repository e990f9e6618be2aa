// How large the library is in a page: what a bundler makes of a program that uses it.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Something that a page loads, and the bytes that it may have, minified and gzipped. */
export interface Program {
  readonly name: string;
  readonly program: string;
  readonly limitBytes: number;
  /** The name of what is loaded before, and does not count. */
  readonly after?: string;
}

const all = (...paths: string[]): string =>
  paths.map((path, i) => `import * as all${i} from "./${path}.js"; console.log(all${i});`).join("\n");
const ENTRY = "the entry, with every net by name and tune, and what all families share";
const GPU = "what a GPU adds";
const TRAINING = "what training LeNet-5 adds";
const STRIDED = "what training strided convolutions adds to that";
const ONNX = "what reading ONNX adds: shadenet/onnx and the file's reader";
const ONNX_MORE = "what ONNX's operators that few nets have add";
const TRANSFORMERS = "what families with layers of transformers share";
const gradient = (operator: string): string => `kernels/${operator}_gradient`;
const family = (name: string, after = ENTRY): Program => ({
  name: `the family ${name}`,
  program: all(`nets/${name}`),
  limitBytes: 3_000,
  after,
});

export const PROGRAMS: readonly Program[] = [
  {
    name: "the engine with lenet5",
    program: `import { lenet5, openGpu } from "./core.js"; console.log(lenet5, openGpu);`,
    limitBytes: 22_000,
  },
  {
    name: ENTRY,
    program: `import { openGpu, tune } from "./browser.js"; import * as common from "./nets/common.js"; console.log(openGpu, tune, common);`,
    limitBytes: 26_000,
  },
  {
    name: "what a software adapter adds",
    program: all("kernels/variants_software"),
    limitBytes: 12_000,
    after: ENTRY,
  },
  {
    name: "what a software adapter with subgroups of 4 adds in its place",
    program: all("kernels/variants_broadcast"),
    limitBytes: 12_200,
    after: ENTRY,
  },
  { name: GPU, program: all("kernels/variants_gpu"), limitBytes: 12_500, after: ENTRY },
  {
    name: "what matrix units add to that",
    program: all("engine/device/matrices", "kernels/variants_matrices"),
    limitBytes: 5_000,
    after: GPU,
  },
  {
    name: "what joined images add",
    program: all("kernels/layout/join"),
    limitBytes: 1_000,
    after: GPU,
  },
  {
    name: "what convolutions in groups add",
    program: all("kernels/conv2d/variants_grouped"),
    limitBytes: 2_000,
    after: GPU,
  },
  {
    name: "what depthwise convolutions add",
    program: all("kernels/conv2d/variants_depthwise"),
    limitBytes: 3_000,
    after: GPU,
  },
  ...[
    "lenet",
    "alexnet",
    "vgg",
    "resnet",
    "squeezenet",
    "densenet",
    "googlenet",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3",
    "shufflenet_v2",
    "mnasnet",
    "regnet",
    "efficientnet",
  ].map((name) => family(name)),
  { name: TRANSFORMERS, program: all("nets/transformer"), limitBytes: 4_100, after: ENTRY },
  ...["convnext", "vision_transformer", "swin_transformer", "maxvit"].map((name) => family(name, TRANSFORMERS)),
  family("swin_transformer_v2", "the family swin_transformer"),
  {
    name: TRAINING,
    program: all(
      "engine/training/trainer",
      "kernels/training/table",
      "kernels/training/sgd_optimizer",
      ...["elementwise/activation", "elementwise/add", "pool2d/avgpool2d", "conv2d/conv2d"].map(gradient),
      ...["linear/linear", "loss/cross_entropy"].map(gradient),
    ),
    limitBytes: 27_200,
    after: "what a software adapter adds",
  },
  { name: STRIDED, program: all(gradient("conv2d/conv2d_strided")), limitBytes: 3_600, after: TRAINING },
  {
    name: "what training residual nets adds to that",
    program: all(...["norm/batchnorm", "pool2d/maxpool2d", "pool2d/adaptive_avgpool2d"].map(gradient)),
    limitBytes: 7_200,
    after: STRIDED,
  },
  {
    name: "what training depthwise convolutions adds to that",
    program: all("kernels/conv2d/conv2d_depthwise_weight_gradient"),
    limitBytes: 2_200,
    after: TRAINING,
  },
  {
    name: "what training transformers adds to that",
    program: all(...["norm/layernorm", "matmul", "softmax", "permute", "reduce", "gather"].map(gradient)),
    limitBytes: 5_000,
    after: TRAINING,
  },
  {
    name: ONNX,
    program: all("onnx", "engine/weights/onnx"),
    limitBytes: 20_000,
    after: ENTRY,
  },
  {
    name: ONNX_MORE,
    program: all("kernels/onnx_import_more"),
    limitBytes: 10_200,
    after: ONNX,
  },
  {
    name: "what ONNX's operators that hardly any net has add to that",
    program: all("kernels/onnx_import_rest"),
    limitBytes: 4_000,
    after: ONNX_MORE,
  },
  {
    name: "the page's side of a worker",
    program: `import { openWorkerGpu } from "./worker.js"; console.log(openWorkerGpu);`,
    limitBytes: 5_000,
  },
];

/** Bundles a program that imports from dist/ for a browser: what it loads at once, without what it imports later. */
export async function bundle(program: string, loaded: readonly string[] = []) {
  const later: Plugin = {
    name: "later",
    setup({ onResolve, resolve }) {
      onResolve({ filter: /.*/ }, async ({ kind, path, pluginData, ...given }) => {
        if (pluginData === "resolving") return undefined;
        if (kind === "dynamic-import") return { path, external: true };
        const { path: found } = await resolve(path, { kind, ...given, pluginData: "resolving" });
        return loaded.some((module) => found === `${ROOT}${module}`) ? { path, external: true } : undefined;
      });
    },
  };
  const { outputFiles, metafile } = await build({
    stdin: { contents: program, resolveDir: `${ROOT}dist` },
    absWorkingDir: ROOT,
    platform: "browser",
    format: "esm",
    target: "es2022",
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    logLevel: "silent",
    plugins: [later],
  });
  const [{ text: code, contents }] = outputFiles;
  const [{ inputs }] = Object.values(metafile.outputs);
  // Of the modules that were looked at, those of which something is left.
  const modules = Object.keys(inputs).filter((name) => inputs[name].bytesInOutput > 0);
  return { code, gzipBytes: gzipSync(contents, { level: 9 }).length, modules };
}

const measured = new Map<Program, ReturnType<typeof bundle>>();

/** Bundles one of the programs, once; `modules` are those of what is loaded before it, too. */
export function measure(program: Program): ReturnType<typeof bundle> {
  const known = measured.get(program) ?? measureNow(program);
  measured.set(program, known);
  return known;
}

async function measureNow({ program, after }: Program): ReturnType<typeof bundle> {
  const before = PROGRAMS.find(({ name }) => name === after);
  const loaded = before ? (await measure(before)).modules : [];
  const bundled = await bundle(program, loaded);
  return { ...bundled, modules: [...loaded, ...bundled.modules] };
}
