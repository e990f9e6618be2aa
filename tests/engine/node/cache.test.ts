// The folder for what can be made again, and what is unpacked into it.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PART, removeOld, temporaryFolder } from "../../../engine/node/cache.ts";
import { unpackSwiftShader } from "../../../engine/node/embedded.ts";
import { FileError } from "../../../index.ts";
import { packageFile } from "../../../tools/package.ts";
import { refuses, someOf } from "../../harness.ts";

const root = await mkdtemp(join(tmpdir(), "shadenet-cache-"));
test.after(() => rm(root, { recursive: true }));

let count = 0;

/** A temporary folder of its own for what the work does, and SHADENET_CACHE set. */
async function withFolders<T>(cache: string | undefined, work: (temporary: string) => Promise<T>): Promise<T> {
  const before = { TMPDIR: process.env.TMPDIR, SHADENET_CACHE: process.env.SHADENET_CACHE };
  const temporary = join(root, `${++count}`);
  await mkdir(temporary);
  const set = (values: Record<string, string | undefined>) => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  };
  set({ TMPDIR: temporary, SHADENET_CACHE: cache });
  try {
    return await work(temporary);
  } finally {
    set(before);
  }
}

const own = `shadenet-${process.getuid?.() ?? "user"}`;

test("a user without a home or a name has a folder among the temporary ones", () =>
  withFolders(undefined, async (temporary) => {
    // What Node does for a user ID that is in no /etc/passwd, where HOME is not set.
    const fail = "() => { throw new Error('ENOENT') }";
    const program = `
      import os from "node:os";
      import { syncBuiltinESMExports } from "node:module";
      os.homedir = os.userInfo = ${fail};
      syncBuiltinESMExports();`;
    const nameless = `data:text/javascript,${encodeURIComponent(program)}`;
    const { HOME: _, XDG_CACHE_HOME: __, ...env } = process.env;
    const main = packageFile("dist/cli/main.js");
    const run = promisify(execFile)(process.execPath, ["--import", nameless, main, "doctor", "--json"], {
      env: { ...env, SHADENET_ADAPTER: "none" },
    });
    const { stdout, stderr } = await run.catch((error) => error);
    assert.match(stderr, /^shadenet: there is no WebGPU adapter/);
    assert.is(JSON.parse(stdout).cache, join(temporary, own));
    assert.is((await stat(join(temporary, own))).mode & 0o077, 0);
  }));

test("a temporary folder that is another's is refused", () =>
  withFolders(undefined, async (temporary) => {
    await mkdir(join(temporary, "elsewhere"));
    await symlink(join(temporary, "elsewhere"), join(temporary, own));
    await refuses(async () => temporaryFolder(), FileError, "FILE", /not a folder of this user's; set SHADENET_CACHE/);
    await rm(join(temporary, own));
    await writeFile(join(temporary, own), "");
    await refuses(async () => temporaryFolder(), FileError, "FILE", /no folder to keep anything in \(.*; set SHADENET/);
  }));

test("what was left for a week is removed, the rest stays", () =>
  withFolders(undefined, async (folder) => {
    await mkdir(join(folder, "b.part"));
    for (const name of ["a.part", "a.part.json", "a.json", "b.part/c"]) await writeFile(join(folder, name), "");
    await removeOld(folder, PART, Date.now() + 6 * 86_400_000);
    assert.is((await readdir(folder)).length, 4);
    await removeOld(folder, PART, Date.now() + 8 * 86_400_000);
    assert.equal(await readdir(folder), ["a.json"]);
    await removeOld(join(folder, "missing"), PART);
  }));

const isInstalled = await withFolders(join(root, "probe"), unpackSwiftShader);
const embedded = isInstalled ? test : test.skip;

embedded("the embedded adapter is unpacked again where it is damaged", async () => {
  const cache = join(root, "cache");
  await withFolders(cache, async () => {
    const folder = (await unpackSwiftShader()) as string;
    const driver = join(folder, "libvk_swiftshader.so");
    const intact = await readFile(driver);
    const { ino } = await stat(folder);
    assert.is(await unpackSwiftShader(), folder);
    assert.is((await stat(folder)).ino, ino, "what is sound stays");
    const damages = [
      () => truncate(driver, 1_000_000),
      () => rm(driver),
      () => writeFile(driver, Buffer.from(intact).fill(0, 0, 100)),
      () => rm(join(folder, "unpacked.json")),
      () => writeFile(join(folder, "unpacked.json"), "{"),
      () => rm(folder, { recursive: true }).then(() => mkdir(folder)),
    ];
    for (const damage of someOf(damages, 1)) {
      await damage();
      assert.is(await unpackSwiftShader(), folder);
      assert.ok((await readFile(driver)).equals(intact));
    }
    await Promise.all([1, 2, 3].map(() => truncate(driver).then(unpackSwiftShader)));
    assert.ok((await readFile(driver)).equals(intact));
    assert.is((await readdir(cache)).length, 1, "nothing is left beside it");
  });
});

embedded("where the cache cannot be written to, it is unpacked into the temporary folder", async () => {
  const file = join(root, "file");
  await writeFile(file, "");
  await withFolders(file, async (temporary) => {
    assert.match((await unpackSwiftShader()) ?? "", join(temporary, own, "swiftshader-"));
  });
  await withFolders(file, async (temporary) => {
    await writeFile(join(temporary, own), "");
    await refuses(
      unpackSwiftShader,
      FileError,
      "FILE",
      /no folder to keep anything in|cannot be unpacked into .*; set/,
    );
  });
});

test.run();
