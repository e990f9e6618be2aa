// npm run size [-- --json]: how large the library is in a page, minified and gzipped. Exit code 1 if it is too large.
import { measure, PROGRAMS } from "./bundle.ts";

const sizes = [];
for (const program of PROGRAMS) {
  const { name, limitBytes } = program;
  sizes.push({ name, gzipBytes: (await measure(program)).gzipBytes, limitBytes });
}
if (process.argv.includes("--json")) console.log(JSON.stringify(sizes, null, 1));
else for (const { name, gzipBytes, limitBytes } of sizes) console.log(`${gzipBytes} of ${limitBytes} bytes: ${name}`);
for (const { name, gzipBytes, limitBytes } of sizes) {
  if (gzipBytes <= limitBytes) continue;
  console.error(`${name} has ${gzipBytes} bytes, and may have ${limitBytes}`);
  process.exitCode = 1;
}
