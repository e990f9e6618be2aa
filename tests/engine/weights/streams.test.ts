// Weights that come as a response or a stream.
import { createReadStream, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FileError, type ShadenetError, UsageError, WeightsError } from "../../../engine/ground/errors.ts";
import type { Progress } from "../../../engine/ground/options.ts";
import type { Weights } from "../../../engine/weights/open.ts";
import { openGpu } from "../../../index.ts";
import { idle, int, open, randomTensor, refuses, withNet } from "../../harness.ts";

const FILE = new URL("../../../../nets/weights/lenet5.safetensors", import.meta.url);
const BYTES = new Uint8Array(readFileSync(FILE));

const gpu = await open();
const server = createServer(({ url }, response) => {
  const [, status, type] = (url ?? "").split("/");
  response.writeHead(Number(status), { "content-type": type?.replace("-", "/") ?? "application/octet-stream" });
  response.end(type === "text-html" ? "<!doctype html><html>please log in</html>" : BYTES);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
test.after(() => {
  server.close();
});
const address = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${path}`;

/** The file in pieces of random lengths. */
function* pieces(): Generator<Uint8Array> {
  for (let start = 0, end = 0; start < BYTES.length; start = end) {
    end = Math.min(BYTES.length, start + int(1, 50_000));
    yield BYTES.subarray(start, end);
  }
}

const webStream = (parts: Iterable<unknown>) => Readable.toWeb(Readable.from(parts)) as ReadableStream<Uint8Array>;

/** The same array every time, as readers do that know that it was written when they are asked again. */
async function* reused(): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(50_000);
  for (const piece of pieces()) {
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
  }
}

const x = randomTensor([1, 1, 32, 32]);

test("a response, a stream of the web, one of Node and any other are weights like the file", async () => {
  let want: unknown;
  await withNet(gpu, "lenet5", { weights: FILE }, async (net) => {
    want = await net.run(x);
  });
  const given: Record<string, () => Weights | Promise<Weights>> = {
    "an answer": () => fetch(address("200")),
    "a response": () => new Response(BYTES),
    "a stream of the web": () => webStream(pieces()),
    "a file's stream": () => createReadStream(FILE),
    "a stream of Node": () => Readable.from(pieces()),
    "an async generator": reused,
  };
  for (const [name, weights] of Object.entries(given)) {
    const told: Progress[] = [];
    const onProgress = (progress: Progress) => void told.push(progress);
    await withNet(gpu, "lenet5", { weights: await weights(), onProgress }, async (net) => {
      assert.equal(await net.run(x), want, name);
    });
    const last = told.filter(({ phase }) => phase === "download").at(-1);
    assert.equal([last?.loaded, last?.total], [BYTES.length, BYTES.length], name);
    assert.ok(told.some(({ phase }) => phase === "load"));
  }
});

test("what was read of a stream is kept for another device", async () => {
  const own = await openGpu({ kernelHash: undefined });
  const net = await own.loadNet("lenet5", { weights: new Response(BYTES) });
  const want = await net.run(x);
  own.device.destroy();
  assert.equal(await net.run(x), want);
  net.dispose();
  own.close();
});

type Kind = new (message: string) => ShadenetError;

test("what cannot be read says why", async () => {
  const fails = (weights: unknown, kind: Kind, code: string, message: RegExp) =>
    refuses(() => gpu.loadNet("lenet5", { weights: weights as Weights }), kind, code, message);
  const used = new Response(BYTES);
  await used.arrayBuffer();
  await fails(used, UsageError, "USAGE", /the given response was read before; give a fresh one/);
  const locked = webStream(pieces());
  locked.getReader();
  await fails(locked, UsageError, "USAGE", /the given stream was read before/);
  await fails(
    await fetch(address("404")),
    FileError,
    "FILE",
    /127.*\/404: the server answered 404 Not Found, wanted 200/,
  );
  await fails(await fetch(address("503")), FileError, "FILE", /127.*\/503 cannot be read: the server answered 503/);
  await fails(await fetch(address("206")), UsageError, "USAGE", /is a part of a file \(206\); fetch all of it/);
  await fails(await fetch(address("200/text-html")), WeightsError, "WEIGHTS", /a web page, wanted a .safetensors/);
  await fails(Response.error(), FileError, "FILE", /the given response: the server answered 0/);
  await fails(new Response(null), WeightsError, "WEIGHTS", /the given response is empty/);
  await fails(Readable.from(["{", "}"]), WeightsError, "WEIGHTS", /has "\{" in it; wanted bytes/);
  await fails(webStream([5]), WeightsError, "WEIGHTS", /has 5 in it; wanted bytes/);
  async function* broken() {
    yield BYTES.subarray(0, 1000);
    throw new Error("the tape is torn");
  }
  await fails(broken(), FileError, "FILE", /the given stream cannot be read: the tape is torn/);
  await fails(new Response(BYTES.subarray(0, 1000)), WeightsError, "WEIGHTS", /the given response/);
});

test("a signal ends the reading, and the stream is let go", async () => {
  let cancelled = 0;
  const endless = () =>
    new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setImmediate(resolve));
        controller.enqueue(new Uint8Array(1000));
      },
      cancel: () => void cancelled++,
    });
  const silent = new ReadableStream<Uint8Array>({ cancel: () => void cancelled++ });
  for (const weights of [endless(), silent, new Response(endless())]) {
    const controller = new AbortController();
    const loading = gpu.loadNet("lenet5", { weights, signal: controller.signal }).catch((error) => error);
    setTimeout(() => controller.abort(new Error("enough")), int(0, 20));
    assert.is((await loading).message, "enough");
  }
  await idle();
  assert.is(cancelled, 3);
});

test.run();
