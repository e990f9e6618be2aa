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

test("the entries import on a server and touch nothing of a browser", () => {
  const entries = ["core.js", "browser.js", "worker.js", "index.js"];
  const program = `
    for (const name of ${JSON.stringify(BROWSER)}) {
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched"); } });
    }
    for (const entry of ${JSON.stringify(entries)}) {
      console.log(Object.keys(await import(${JSON.stringify(DIST)} + entry)).length);
    }`;
  const counts = execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  const exported = counts.trim().split("\n").map(Number);
  assert.is(exported.length, entries.length);
  for (const [i, count] of exported.entries()) assert.ok(count > 5, `${entries[i]} exports ${count}`);
});

test.run();
