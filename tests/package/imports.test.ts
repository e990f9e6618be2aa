import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";

const DIST = fileURLToPath(new URL("../../", import.meta.url));

/** What only a browser has; touching any of it on a server would fail there. */
const BROWSER = [
  "navigator",
  "window",
  "document",
  "self",
  "location",
  "Worker",
  "caches",
  "indexedDB",
  "GPUBufferUsage",
];

for (const entry of ["core.js", "browser.js", "worker.js", "index.js"]) {
  test(`${entry} imports on a server and touches nothing of a browser`, () => {
    const program = `
      for (const name of ${JSON.stringify(BROWSER)}) {
        Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
      }
      const names = Object.keys(await import(${JSON.stringify(DIST + entry)}));
      console.log(names.length);`;
    const count = execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
    assert.ok(Number(count) > 5, `it exports ${count}`);
  });
}

test.run();
