// Writes wgsl.ts from the .wgsl files in this folder and those below it, so that no reader of the package needs a loader for them. Comments,
// indentation and spaces around punctuation are left out, since browsers load it; lines stay where they are, so that a
// compiler's message points into the .wgsl file.
// `node kernels/generate_wgsl.mjs --check` only tells whether it is up to date (exit 1 if not).
// wgsl_hash.ts tells whether kernels are still those that something was measured with.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

const folder = new URL(".", import.meta.url);
const files = readdirSync(folder, { recursive: true })
  .filter((file) => file.endsWith(".wgsl"))
  .sort((a, b) => (basename(a) < basename(b) ? -1 : 1));
const modules = files.map((file) => {
  const name = basename(file, ".wgsl");
  const source = readFileSync(new URL(file, folder), "utf8");
  if (/[`\\]|\$\{/.test(source)) throw new Error(`${file}: backticks, backslashes and \${ cannot be embedded`);
  const code = source.replace(/\s*\/\/.*/g, (comment) => "\n".repeat(comment.split("\n").length - 1));
  return `export const ${name} = \`${code.replace(/^ +| ?([-=+*/%<>&|(){},:;]) ?/gm, "$1")}\`;\n`;
});
// Shortest first: what is alike lies closer together then, and is smaller when compressed.
modules.sort((a, b) => a.length - b.length);
const note = "// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.";
const hash = createHash("sha256").update(modules.join("")).digest("hex").slice(0, 12);
const generated = {
  "wgsl.ts": `${note}\n\n${modules.join("\n")}`,
  "wgsl_hash.ts": `${note}\n\nexport const wgslHash = "${hash}";\n`,
};

for (const [name, text] of Object.entries(generated)) {
  const target = new URL(name, folder);
  if (!process.argv.includes("--check")) {
    writeFileSync(target, text);
  } else if (readFileSync(target, "utf8") !== text) {
    console.error(`kernels/${name} is stale: run npm run wgsl`);
    process.exitCode = 1;
  }
}
