// How large the library is in a page: what a bundler makes of a program that uses it.
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Plugin } from "esbuild";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What is measured, and the bytes that it may have, minified and gzipped. */
export const PROGRAMS = [
  {
    name: "the engine with lenet5",
    program: `import { lenet5, openGpu } from "./core.js"; console.log(lenet5, openGpu);`,
    limitBytes: 25_000,
  },
  {
    name: "the engine with all nets",
    program: `import { openGpu, tune } from "./browser.js"; console.log(openGpu, tune);`,
    limitBytes: 40_000,
  },
  {
    name: "the page's side of a worker",
    program: `import { openWorkerGpu } from "./worker.js"; console.log(openWorkerGpu);`,
    limitBytes: 5_000,
  },
] as const;

/** Bundles a program that imports from dist/ for a browser: what it loads at once, without what it imports later. */
export async function bundle(program: string) {
  const later: Plugin = {
    name: "later",
    setup({ onResolve }) {
      onResolve({ filter: /.*/ }, ({ kind, path }) =>
        kind === "dynamic-import" ? { path, external: true } : undefined,
      );
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
  return { code, gzipBytes: gzipSync(contents, { level: 9 }).length, modules: Object.keys(metafile.inputs) };
}
