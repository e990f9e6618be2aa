// Downloads against a server on loopback that misbehaves, with waits of milliseconds in place of seconds.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { open as openHandle } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FileError, WeightsError } from "../../../engine/ground/errors.ts";
import type { Progress } from "../../../engine/ground/options.ts";
import { type CacheOptions, cachedFile } from "../../../engine/node/download.ts";
import { openFile } from "../../../engine/node/files.ts";
import { openUrl } from "../../../engine/web/files.ts";
import type { ByteSource } from "../../../engine/weights/checkpoint.ts";
import { encodeSafetensors } from "../../../engine/weights/safetensors.ts";
import { openCheckpoint } from "../../../engine/weights/sources.ts";
import { open, refuses } from "../../harness.ts";

const gpu = await open();
const cache = mkdtempSync(join(tmpdir(), "shadenet-download-"));
const folder = join(cache, "weights");
const { SHADENET_CACHE } = process.env;
process.env.SHADENET_CACHE = cache;

const QUICK: CacheOptions = { backoffMs: 4, retries: 2 };
const BODY = randomBytes(300_000);
const SHA256 = createHash("sha256").update(BODY).digest("hex");
const LAST_MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A file on the server: its address, what was asked of it, and how many bytes of it were sent. */
interface Served {
  readonly url: string;
  readonly requests: IncomingMessage[];
  sent: number;
}

const handlers = new Map<string, Handler>();
let files = 0;
const server = createServer((request, response) => {
  const handler = handlers.get(request.url ?? "");
  if (handler) handler(request, response);
  else response.writeHead(404).end("<html>not here</html>");
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

test.after(() => {
  server.close();
  server.closeAllConnections();
  rmSync(cache, { recursive: true });
  if (SHADENET_CACHE === undefined) delete process.env.SHADENET_CACHE;
  else process.env.SHADENET_CACHE = SHADENET_CACHE;
});

/** Puts a file on the server, under an address of its own. `count` is 1 for the first request. */
function serve(handler: (request: IncomingMessage, response: Sender, count: number) => void): Served {
  const path = `/${++files}/net.safetensors`;
  const served: Served = { url: origin + path, requests: [], sent: 0 };
  handlers.set(path, (request, response) => {
    served.requests.push(request);
    handler(request, Object.assign(response, { served }), served.requests.length);
  });
  return served;
}

type Sender = ServerResponse & { served: Served };

interface Sending {
  readonly body?: Buffer;
  readonly etag?: string;
  /** Whether it answers to Range. */
  readonly ranges?: boolean;
  /** Bytes after which the connection is cut. */
  readonly cut?: number;
  /** Bytes after which nothing more comes. */
  readonly stall?: number;
  readonly headers?: Record<string, string | number>;
}

/** Answers as a good server does, but for what it is told to do wrong. */
function send(request: IncomingMessage, response: Sender, sending: Sending = {}): void {
  const { body = BODY, etag = '"1"', ranges = true, cut, stall, headers } = sending;
  const ifRange = request.headers["if-range"];
  const asked =
    ranges && (ifRange === undefined || ifRange === etag) && /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
  const start = asked ? Number(asked[1]) : 0;
  const rest = body.subarray(start, start + (cut ?? stall ?? body.length));
  response.writeHead(asked ? 206 : 200, {
    "content-length": body.length - start,
    "content-type": "application/octet-stream",
    ...(etag && { etag }),
    ...(asked && { "content-range": `bytes ${start}-${body.length - 1}/${body.length}` }),
    ...headers,
  });
  response.served.sent += rest.length;
  response.write(rest, () => cut !== undefined && hangUp(response, start + rest.length));
  if (cut === undefined && stall === undefined) response.end();
}

/**
 * Waits until a download has so many bytes, since fetch() throws away what it has not yet given out when a connection
 * breaks. Where they go into no file, there is nothing that could hold them up.
 */
async function arrival(served: Served, bytes: number): Promise<void> {
  const sizes = () =>
    existing(served).map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
  for (let turn = 0; Math.max(...sizes()) < bytes && (turn < 10 || sizes().length > 0); turn++) await sleep(2);
}

async function hangUp(response: Sender, bytes: number): Promise<void> {
  await arrival(response.served, bytes);
  response.socket?.end();
}

const good = (sending?: Sending): Served => serve((request, response) => send(request, response, sending));

const range = (served: Served, count: number) => served.requests[count - 1].headers.range;

/** Names of what the cache has of a file. */
const existing = (served: Served): string[] =>
  existsSync(folder)
    ? readdirSync(folder).filter((name) => name.startsWith(`net-${digits(served.url)}.safetensors`))
    : [];

/** The ends of those names. */
const left = (served: Served): string[] =>
  existing(served)
    .map((name) => name.replace(/^net-\w+\.safetensors(\.\w+-\d+-\w+)?/, ""))
    .sort();

const digits = (url: string): string => createHash("sha256").update(url).digest("hex").slice(0, 10);

const removeFiles = (...paths: string[]) => paths.forEach((path) => void unlinkSync(path));

const WHOLE = ["", ".json"];
const PARTIAL = [".part", ".part.json"];

async function get(served: Served, options: CacheOptions = {}, body = BODY): Promise<string> {
  const path = await cachedFile(served.url, { ...QUICK, ...options });
  assert.ok(readFileSync(path).equals(body), "the file has other bytes");
  assert.equal(left(served), WHOLE);
  return path;
}

test("a file is downloaded once, with its hash in any case", async () => {
  const served = good();
  assert.match(basename(await get(served, { sha256: SHA256 })), /^net-[0-9a-f]{10}\.safetensors$/);
  assert.equal(served.requests[0].headers["accept-encoding"], "identity");
  await get(served, { sha256: SHA256.slice(0, 8).toUpperCase() });
  await get(served);
  const source = await openFile(new URL(served.url), { sha256: SHA256.slice(0, 8) });
  assert.is(source.name, served.url);
  assert.equal(Buffer.from(await source.read(7, 9)), BODY.subarray(7, 16));
  await source.close?.();
  assert.is(served.requests.length, 1);
});

test("addresses differ by their query, not by their fragment", async () => {
  const [one, other] = await Promise.all(
    ["?v=1", "?v=1#a"].map((end) => cachedFile(`${origin}/none${end}`, QUICK).catch(String)),
  );
  assert.match(one, /404/);
  assert.match(other, /404/);
  const path = `/${++files}/x%20y.bin`;
  for (const query of ["?v=1", "?v=2"]) handlers.set(path + query, (_, response) => response.end(`\0${query}`));
  const a = await cachedFile(`${origin}${path}?v=1`);
  const b = await cachedFile(`${origin}${path}?v=2`);
  assert.is(readFileSync(a, "utf8"), "\0?v=1");
  assert.is(readFileSync(b, "utf8"), "\0?v=2");
  assert.is(await cachedFile(`${origin}${path}?v=2#there`), b);
  assert.match(basename(a), /^x_20y-\w{10}\.bin$/);
});

test("a cached file needs no server, and none that is damaged is used", async () => {
  const served = good();
  const path = await get(served);
  handlers.delete(new URL(served.url).pathname);
  await get(served);

  // Copied with another date: hashed again, and found to be the same.
  utimesSync(path, new Date(), new Date(0));
  await get(served);
  assert.is(JSON.parse(readFileSync(`${path}.json`, "utf8")).modified, 0);

  const damages: (() => void)[] = [
    () => writeFileSync(path, BODY.subarray(1)),
    () => writeFileSync(path, Buffer.alloc(BODY.length)),
    () => unlinkSync(`${path}.json`),
    () => writeFileSync(`${path}.json`, "{"),
  ];
  for (const damage of damages) {
    damage();
    await refuses(() => cachedFile(served.url, QUICK), FileError, "FILE", /404/);
    handlers.set(new URL(served.url).pathname, (request, response) =>
      send(request, Object.assign(response, { served }), {}),
    );
    await get(served);
    handlers.delete(new URL(served.url).pathname);
  }

  // A file that was put there by hand is as good as any if it has the hash.
  unlinkSync(`${path}.json`);
  await get(served, { sha256: SHA256.slice(0, 8) });
});

test("a cached file with another hash is replaced", async () => {
  const old = Buffer.of(1, 2, 3);
  const served = serve((request, response, count) => send(request, response, { body: count === 1 ? old : BODY }));
  await get(served, {}, old);
  await get(served, { sha256: SHA256.slice(0, 8) });
  assert.is(served.requests.length, 2);
});

test("a wrong hash is told and nothing is kept", async () => {
  const served = good();
  const message = new RegExp(`its SHA-256 is ${SHA256}, wanted abcd1234`);
  await refuses(() => cachedFile(served.url, { ...QUICK, sha256: "abcd1234" }), WeightsError, "WEIGHTS", message);
  assert.equal(left(served), []);
  assert.is(served.requests.length, 1);
});

test("progress goes up to the total, and not too often", async () => {
  const served = serve(async (_, response, count) => {
    response.writeHead(200, { "content-length": BODY.length });
    for (let at = 0; at < BODY.length; at += 10_000) {
      response.write(BODY.subarray(at, at + 10_000));
      await sleep(4);
      if (count === 1 && at === 200_000) return hangUp(response, 200_000);
    }
    response.end();
  });
  const events: Progress[] = [];
  const start = performance.now();
  await get(served, { onProgress: (event) => events.push(event) });
  const most = (performance.now() - start) / 50 + 3;
  assert.ok(events.length >= 3 && events.length <= most, `${events.length} events, at most ${most}`);
  const loaded = events.map((event) => event.loaded);
  assert.equal(
    loaded,
    [...loaded].sort((a, b) => a - b),
  );
  assert.is(new Set(loaded.slice(0, -1)).size, loaded.length - 1);
  for (const { phase, file, total } of events)
    assert.equal({ phase, file, total }, { phase: "download", file: served.url, total: BODY.length });
  assert.is(loaded.at(-1), BODY.length);
  events.length = 0;
  await get(served, { onProgress: (event) => events.push(event) });
  assert.equal(events, []);
});

test("without a Content-Length the total is 0 until the end", async () => {
  const served = serve((_, response) => {
    response.write(BODY.subarray(0, 1000));
    setTimeout(() => response.end(BODY.subarray(1000)), 60);
  });
  const events: Progress[] = [];
  await get(served, { onProgress: (event) => events.push(event) });
  const last = events.pop();
  assert.equal([last?.loaded, last?.total], [BODY.length, BODY.length]);
  assert.ok(events.length > 0 && events.every(({ total }) => total === 0));
});

test("a broken download goes on where it broke", async () => {
  // More often than it may break without getting any further.
  const served = serve((request, response, count) => send(request, response, count < 5 ? { cut: 60_000 } : {}));
  await get(served, { sha256: SHA256 });
  assert.equal(
    served.requests.map(({ headers }) => headers.range),
    [undefined, "bytes=60000-", "bytes=120000-", "bytes=180000-", "bytes=240000-"],
  );
  assert.is(served.requests[1].headers["if-range"], '"1"');
  assert.is(served.sent, BODY.length);
});

test("a stalled download goes on where it stalled", async () => {
  const served = serve((request, response, count) => send(request, response, count === 1 ? { stall: 60_000 } : {}));
  await get(served, { sha256: SHA256, stallMs: 500 });
  assert.is(range(served, 2), "bytes=60000-");
  assert.is(served.sent, BODY.length);

  const silent = serve((request, response, count) => count > 1 && send(request, response));
  await get(silent, { stallMs: 500 });
});

test("a date can stand for an ETag, a weak ETag cannot", async () => {
  const headers = { etag: 'W/"1"', "last-modified": LAST_MODIFIED };
  const served = serve((request, response, count) => {
    send(request, response, { etag: LAST_MODIFIED, headers, cut: count === 1 ? 1000 : undefined });
  });
  await get(served);
  assert.is(served.requests[1].headers["if-range"], LAST_MODIFIED);
  assert.is(served.sent, BODY.length);

  const bare = serve((request, response, count) => {
    send(request, response, { etag: "", headers: { etag: 'W/"1"' }, cut: count === 1 ? 1000 : undefined });
  });
  await get(bare);
  assert.is(range(bare, 2), undefined);
});

test("a server without ranges is read from the start", async () => {
  const served = serve((request, response, count) => {
    send(request, response, { ranges: false, cut: count === 1 ? 1000 : undefined });
  });
  await get(served, { sha256: SHA256 });
  assert.is(served.sent, BODY.length + 1000);
});

test("a file that changes between attempts is read from the start", async () => {
  const served = serve((request, response, count) => {
    send(request, response, count === 1 ? { cut: 1000, body: randomBytes(5000) } : { etag: '"2"' });
  });
  await get(served);
  assert.is(served.requests.length, 2);

  // Servers that don't look at If-Range.
  const lies: Sending[] = [
    { etag: '"2"' },
    { headers: { "content-range": "bytes 999-299999/300000" } },
    { headers: { "content-range": "bytes 1000-299999/400000" } },
  ];
  for (const lie of lies) {
    const served = serve((request, response, count) => {
      delete request.headers["if-range"];
      send(request, response, count === 1 ? { cut: 1000 } : count === 2 ? lie : { etag: '"2"' });
    });
    await get(served);
    assert.equal(
      [2, 3].map((count) => range(served, count)),
      ["bytes=1000-", undefined],
    );
  }

  const gone = serve((request, response, count) => {
    if (count === 2) response.writeHead(416).end();
    else send(request, response, count === 1 ? { cut: 1000 } : {});
  });
  await get(gone);
  assert.is(range(gone, 3), undefined);
});

test("a wrong Content-Length is told", async () => {
  const served = serve((_, response) => {
    response.writeHead(200, { "content-length": 1000 });
    response.write(BODY.subarray(0, 900), () => hangUp(response, 900));
  });
  const message =
    /cannot download .*: the connection broke after 900 of 1000 bytes \(.+\) \(3 attempts\); try again later$/;
  await refuses(() => cachedFile(served.url, QUICK), FileError, "FILE", message);
  assert.equal(left(served), []);
});

test("compressed bytes are not counted", async () => {
  const body = Buffer.alloc(5000);
  const packed = gzipSync(body);
  const served = serve((_, response) => {
    response.writeHead(200, { "content-length": packed.length, "content-encoding": "gzip" }).end(packed);
  });
  await get(served, {}, body);
});

test("redirects are followed, but not for ever", async () => {
  const served = good();
  const moved = serve((_, response) => response.writeHead(302, { location: served.url }).end());
  await get(moved);
  const loop = serve((_, response) => response.writeHead(302, { location: loop.url }).end());
  await refuses(
    () => cachedFile(loop.url, QUICK),
    FileError,
    "FILE",
    /there was no answer \(redirect count exceeded\)/,
  );
});

test("what the server refuses is told at once", async () => {
  for (const [status, message] of [
    [404, /cannot download http.*: the server answered 404 Not Found, wanted 200; check the address$/],
    [403, /the server answered 403 Forbidden, wanted 200; it may need a login$/],
    [204, /the server answered 204 No Content, wanted 200/],
  ] as const) {
    const served = serve((_, response) => response.writeHead(status).end());
    await refuses(() => cachedFile(served.url, QUICK), FileError, "FILE", message);
    assert.is(served.requests.length, 1);
    assert.equal(left(served), []);
  }
});

test("a server in trouble is asked again, when it says", async () => {
  const served = serve((request, response, count) => {
    if (count === 1) response.writeHead(500).end();
    else if (count === 2) response.writeHead(429, { "retry-after": "0.2" }).end();
    else send(request, response);
  });
  const start = performance.now();
  await get(served);
  assert.ok(performance.now() - start >= 195);

  const down = serve((_, response) => response.writeHead(503).end());
  const message = /the server answered 503 Service Unavailable \(3 attempts\); try again later$/;
  await refuses(() => cachedFile(down.url, QUICK), FileError, "FILE", message);
  const busy = serve((_, response) => response.writeHead(429, { "retry-after": "3600" }).end());
  await refuses(() => cachedFile(busy.url, QUICK), FileError, "FILE", /answered 429 .*asks to wait 3600 s; try again/);
  assert.is(busy.requests.length, 1);
});

test("a web page or other text is no weights", async () => {
  const page = "<!DOCTYPE html><title>Log in</title>";
  const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0";
  for (const [type, body, message] of [
    ["text/html; charset=utf-8", page, /: the server sent a web page, wanted a \.safetensors or \.pth file; check the/],
    ["application/octet-stream", page, /the server sent a web page/],
    ["application/json", '{"error":"no"}', /the server sent text \("\{\\"error\\":\\"no\\"\}"\), wanted/],
    ["text/plain", lfs, /the server sent text \("version https:\/\/git-lfs/],
    ["text/plain", "no", /the server sent text \("no"\)/],
  ] as const) {
    const headers = { "content-type": type, etag: '"1"', "content-length": body.length };
    const served = serve((_, response) => response.writeHead(200, headers).end(body));
    await refuses(() => cachedFile(served.url, QUICK), WeightsError, "WEIGHTS", message);
    assert.is(served.requests.length, 1);
    assert.equal(left(served), []);
  }

  // Text is not told from the first few bytes alone.
  const slow = serve(async (_, response) => {
    for (const byte of ["A", "A", "\0", "A", "A"]) {
      response.write(byte);
      await sleep(10);
    }
    response.end();
  });
  await get(slow, {}, Buffer.from("AA\0AA"));

  // A page does no harm to what has come before.
  const served = serve((request, response, count) => {
    if (count === 2) response.writeHead(200, { "content-type": "text/html" }).end(page);
    else send(request, response, count === 1 ? { cut: 1000 } : {});
  });
  await refuses(() => cachedFile(served.url, QUICK), WeightsError, "WEIGHTS", /web page/);
  assert.equal(left(served), PARTIAL);
  await get(served);
  assert.is(range(served, 3), "bytes=1000-");
});

test("an empty file is none", async () => {
  const served = good({ body: Buffer.alloc(0) });
  await refuses(() => cachedFile(served.url, QUICK), WeightsError, "WEIGHTS", /is empty; wanted a \.safetensors/);
  assert.equal(left(served), []);
});

test("a server that is not there is told soon", async () => {
  const { port } = await new Promise<AddressInfo>((resolve) => {
    const closed = createServer().listen(0, "127.0.0.1", () => {
      const address = closed.address() as AddressInfo;
      closed.close(() => resolve(address));
    });
  });
  const message = /there was no answer \(.*ECONNREFUSED.*\) \(2 attempts\); check the address and the network$/;
  await refuses(() => cachedFile(`http://127.0.0.1:${port}/x`, QUICK), FileError, "FILE", message);
  await refuses(() => cachedFile("http://", QUICK), FileError, "FILE", /^http:\/\/ is not a web address/);
});

test("an aborted download rejects with the reason, and a later one goes on", async () => {
  const abort = new AbortController();
  const reason = new Error("changed my mind");
  const served = serve((request, response, count) => {
    send(request, response, count === 1 ? { stall: 100_000 } : {});
    if (count === 1) arrival(served, 100_000).then(() => abort.abort(reason));
  });
  assert.is(await cachedFile(served.url, { signal: abort.signal }).catch((error) => error), reason);
  assert.equal(left(served), PARTIAL);
  await get(served);
  assert.is(range(served, 2), "bytes=100000-");
});

test("an abort is heard before, while waiting for an answer, and between attempts", async () => {
  let abort = new AbortController();
  const served = serve((_, response, count) => {
    if (count === 1) return abort.abort("stop");
    response.writeHead(503).end();
    sleep(20).then(() => abort.abort("stop"));
  });
  abort.abort("stop");
  for (let requests = 0; requests < 3; requests++) {
    const start = performance.now();
    const got = await cachedFile(served.url, { signal: abort.signal, backoffMs: 9000 }).catch((reason) => reason);
    assert.is(got, "stop");
    assert.ok(performance.now() - start < 5000);
    assert.equal(left(served), []);
    assert.is(served.requests.length, requests);
    abort = new AbortController();
  }
});

test("an error of the caller's own stops the download", async () => {
  const served = good();
  const bug = new Error("a bug");
  const onProgress = () => {
    throw bug;
  };
  assert.is(await cachedFile(served.url, { ...QUICK, onProgress }).catch((error) => error), bug);
  await get(served);
});

test("two who want the same file at a time share its download", async () => {
  const served = serve((request, response) => setTimeout(() => send(request, response), 30));
  await Promise.all([get(served), get(served), get(served)]);
  assert.is(served.requests.length, 1);

  // The second goes on when the first gives up, and can give up while the first does not.
  const slow = serve((request, response, count) => send(request, response, count === 1 ? { stall: 50_000 } : {}));
  const [first, third] = [new AbortController(), new AbortController()];
  const downloads = [
    cachedFile(slow.url, { signal: first.signal }).catch((reason) => reason),
    cachedFile(slow.url),
    cachedFile(slow.url, { signal: third.signal }).catch((reason) => reason),
  ];
  setTimeout(() => third.abort("third"), 20);
  assert.is(await downloads[2], "third");
  while (slow.requests.length === 0) await sleep(2);
  await arrival(slow, 50_000);
  first.abort("first");
  assert.is(await downloads[0], "first");
  assert.ok(readFileSync(await downloads[1]).equals(BODY));
  assert.is(range(slow, 2), "bytes=50000-");
});

/** Downloads in a process of its own. */
function download(served: Served) {
  const module = new URL("../../../engine/node/download.js", import.meta.url);
  const script = `await (await import(${JSON.stringify(module)})).cachedFile(${JSON.stringify(served.url)})`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: "inherit" });
  return { child, ended: new Promise<number | null>((resolve) => child.on("close", resolve)) };
}

test("processes don't get in each other's way", async () => {
  const waiting: (() => void)[] = [];
  const served = serve((request, response) => {
    send(request, response, { stall: 200_000 });
    waiting.push(() => response.end(BODY.subarray(200_000)));
    if (waiting.length === 2) for (const finish of waiting) finish();
  });
  const other = download(served);
  await cachedFile(served.url);
  assert.is(await other.ended, 0);
  await get(served);
  assert.is(served.requests.length, 2);
});

test("what a killed process has left is gone on with", async () => {
  const served = serve((request, response, count) => send(request, response, count === 1 ? { stall: 200_000 } : {}));
  const { child, ended } = download(served);
  while (served.requests.length === 0) await sleep(10);
  await arrival(served, 200_000);
  child.kill("SIGKILL");
  await ended;
  await get(served, { sha256: SHA256 });
  assert.is(range(served, 2), "bytes=200000-");
  assert.is(served.sent, BODY.length);
});

test("parts of other downloads are taken over once they are abandoned", async () => {
  const served = good();
  const path = await get(served);
  const host = hostname().replace(/\W/g, "_");
  const leave = (owner: string, bytes: number, minutesAgo = 0) => {
    unlinkSync(`${path}.json`);
    const part = `${path}.${owner}-00.part`;
    writeFileSync(part, BODY.subarray(0, bytes));
    writeFileSync(`${part}.json`, JSON.stringify({ validator: '"1"', total: BODY.length }));
    const date = new Date(Date.now() - minutesAgo * 60_000);
    utimesSync(part, date, date);
    return part;
  };
  // No process can have this number.
  leave(`${host}-999999999`, 1000);
  await get(served);
  leave("elsewhere-1", 2000, 11);
  await get(served);
  assert.equal(
    served.requests.map(({ headers }) => headers.range),
    [undefined, "bytes=1000-", "bytes=2000-"],
  );

  for (const owner of ["elsewhere-1", `${host}-${process.pid}`]) {
    const part = leave(owner, 3000);
    await cachedFile(served.url, QUICK);
    assert.equal(left(served), [...WHOLE, ...PARTIAL]);
    removeFiles(part, `${part}.json`);
  }
  assert.is(range(served, 5), undefined);

  // Of two, one is used and both are gone; what was not described cannot be used.
  leave(`${host}-999999999`, 1000);
  writeFileSync(`${path}.json`, "");
  leave(`${host}-999999998`, 1000);
  await get(served);
  assert.is(range(served, 6), "bytes=1000-");
  removeFiles(`${leave(`${host}-999999999`, 1000)}.json`);
  await get(served);
  assert.is(range(served, 7), undefined);
});

test("a full disk and a folder that cannot be written to are told", async () => {
  const served = good();
  const handle = await openHandle(cache);
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  const { write } = prototype;
  let writes = 0;
  prototype.write = async function (...call: unknown[]) {
    if (++writes === 1) return write.apply(this, call);
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC", syscall: "write" });
  };
  try {
    await refuses(
      () => cachedFile(served.url, QUICK),
      FileError,
      "FILE",
      /the disk is full: .* does not fit into .*SHADENET_CACHE/,
    );
  } finally {
    prototype.write = write;
  }
  assert.equal(left(served), []);

  process.env.SHADENET_CACHE = join(cache, "file");
  writeFileSync(process.env.SHADENET_CACHE, "");
  try {
    await refuses(
      () => cachedFile(served.url, QUICK),
      FileError,
      "FILE",
      /cannot keep .*ENOTDIR.*; set SHADENET_CACHE/,
    );
  } finally {
    process.env.SHADENET_CACHE = cache;
  }
});

test("a net is loaded from an address", async () => {
  const served = good({ body: readFileSync(new URL("../../../../nets/weights/lenet5.safetensors", import.meta.url)) });
  const phases = new Set<string>();
  const onProgress = ({ phase, file }: Progress) => phases.add(`${phase} ${file}`);
  const remote = await gpu.loadNet("lenet5", { weights: served.url, onProgress });
  const local = await gpu.loadNet("lenet5");
  const x = Float32Array.from({ length: 32 * 32 }, (_, i) => Math.sin(i));
  assert.equal((await remote.run(x)).logits, (await local.run(x)).logits);
  assert.equal([...phases], [`download ${served.url}`, `load ${served.url}`]);
  for (const net of [remote, local]) net.dispose();
  const page = serve((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"));
  await refuses(() => gpu.loadNet("lenet5", { weights: page.url }), WeightsError, "WEIGHTS", /web page/);
  const gone = AbortSignal.abort("gone");
  assert.is(await gpu.loadNet("lenet5", { weights: page.url, signal: gone }).catch((reason) => reason), "gone");
});

/** An index of two shards on the server, and the tensors that are in them. */
function serveShards(): string {
  const path = `/${++files}/`;
  const shard = (name: string, value: number) =>
    encodeSafetensors(new Map([[name, { shape: [1], data: Float32Array.of(value) }]]));
  const weight_map = { a: "model-1 of 2.safetensors", b: "model-2.safetensors" };
  const bodies = {
    "model.safetensors.index.json?download=true": JSON.stringify({ metadata: {}, weight_map }),
    "model-1%20of%202.safetensors": shard("a", 1),
    "model-2.safetensors": shard("b", 2),
  };
  for (const [name, body] of Object.entries(bodies))
    handlers.set(path + name, (_, response) => response.writeHead(200, { etag: '"1"' }).end(body));
  return `${origin}${path}model.safetensors.index.json?download=true`;
}

test("an index of shards is followed from its address", async () => {
  const check = async (source: ByteSource) => {
    const checkpoint = await openCheckpoint(source);
    assert.equal([...(await checkpoint.read("a")), ...(await checkpoint.read("b"))], [1, 2]);
    await checkpoint.close();
  };
  const url = serveShards();
  await check(await openFile(url, { sha256: "" }));
  await inBrowser({ caches: fakeCaches(), location: { origin } }, async () => check(await openUrl(serveShards(), {})));
  // An answer in JSON from an address that is none of an index is still refused.
  const served = serve((_, response) => response.writeHead(200).end('{"weight_map":{}}'));
  await refuses(() => cachedFile(served.url, QUICK), WeightsError, "WEIGHTS", /the server sent text/);
});

/** What a browser has and Node has not, for as long as `work` takes. */
async function inBrowser(globals: object, work: () => Promise<void>): Promise<void> {
  const before = Object.getOwnPropertyDescriptors(globalThis);
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  try {
    await work();
  } finally {
    for (const name of Object.keys(globals)) {
      const descriptor = (before as Record<string, PropertyDescriptor | undefined>)[name];
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else delete (globalThis as Record<string, unknown>)[name];
    }
  }
}

/** A Cache Storage of one cache. */
function fakeCaches(put?: () => Promise<void>) {
  const stored = new Map<string, Response>();
  const one = {
    match: async (url: string) => stored.get(url)?.clone(),
    put: put ?? (async (url: string, response: Response) => void stored.set(url, response)),
    delete: async (url: string) => stored.delete(url),
  };
  return { stored, open: async (name: string) => (name === "shadenet-weights" ? one : undefined) };
}

async function getInBrowser(served: Served, options: CacheOptions = {}): Promise<void> {
  const source = await openUrl(served.url, { ...QUICK, ...options });
  assert.is(source.name, served.url);
  assert.ok(BODY.equals(await source.read(0, source.size)));
}

test("a page takes the mirror of what is published, and Node the file that has a hash", async () => {
  const served = good();
  const mirror = good({ body: randomBytes(1000) });
  const options = { sha256: SHA256, mirror: mirror.url };
  await inBrowser({ caches: fakeCaches(), location: { origin } }, async () => {
    const source = await openUrl(served.url, options);
    assert.equal([source.name, source.size, served.requests.length], [mirror.url, 1000, 0]);
  });
  const file = await openFile(served.url, options);
  assert.is(file.size, BODY.length);
  await file.close?.();
  assert.is(mirror.requests.length, 1);
});

test("where another site gives a page no answer, its leave is named as what may be missing", async () => {
  const served = serve((_, response) => response.destroy());
  const page = (address: string) => ({ caches: fakeCaches(), location: { origin: address } });
  const why =
    /check the address and the network, and whether 127.0.0.1:\d+ lets pages of other sites read it: .*Allow-Origin/;
  await inBrowser(page("http://example.com"), () =>
    refuses(() => openUrl(served.url, { ...QUICK } as object), FileError, "FILE", why),
  );
  await inBrowser(page(origin), async () => {
    const error = await openUrl(served.url, { ...QUICK } as object).catch((reason) => reason);
    assert.match(error.message, /check the address and the network$/);
  });
});

test("a browser keeps files in Cache Storage", async () => {
  const caches = fakeCaches();
  await inBrowser({ caches, location: { origin } }, async () => {
    const served = serve((request, response, count) => send(request, response, count === 1 ? { cut: 1000 } : {}));
    await Promise.all([getInBrowser(served), getInBrowser(served)]);
    assert.is(served.requests[1].headers["if-range"], '"1"');
    await getInBrowser(served);
    await getInBrowser(served, { sha256: SHA256.slice(0, 8) });
    assert.is(served.requests.length, 2);

    // A wrong hash: downloaded again, and then refused.
    await refuses(() => getInBrowser(served, { sha256: "abcd" }), WeightsError, "WEIGHTS", /wanted abcd/);
    assert.is(served.requests.length, 3);
    assert.is(caches.stored.size, 0);

    await getInBrowser(served, { sha256: SHA256.slice(0, 8) });
    await getInBrowser(served, { sha256: SHA256 });
    assert.is(served.requests.length, 4);
    caches.stored.set(served.url, new Response("short", { headers: { "content-length": "300000" } }));
    await getInBrowser(served);
    assert.is(served.requests.length, 5);

    const whole = serve((request, response, count) => {
      send(request, response, { ranges: false, cut: count === 1 ? 1000 : undefined });
    });
    await getInBrowser(whole);
  });
});

test("a browser does without Cache Storage", async () => {
  const throwing = {
    open: () => {
      throw new Error("SecurityError");
    },
  };
  const full = fakeCaches(async () => {
    throw new Error("QuotaExceededError");
  });
  for (const caches of [undefined, throwing, full]) {
    await inBrowser({ caches }, () => getInBrowser(good(), { sha256: SHA256 }));
  }
});

test("a browser goes on with a file of another origin by what it is shown", async () => {
  const shown = ["content-length", "content-type", "last-modified"];
  const real = fetch;
  const strangers = async (...call: Parameters<typeof fetch>) => {
    const response = await real(...call);
    const headers = [...response.headers].filter(([name]) => shown.includes(name));
    const { body, status } = response;
    return { ok: response.ok, type: "cors", status, statusText: "", body, headers: new Headers(headers) };
  };
  await inBrowser({ fetch: strangers, location: { origin: "https://example.org" } }, async () => {
    const headers = { "last-modified": LAST_MODIFIED };
    const served = serve((request, response, count) =>
      send(request, response, { headers, cut: count === 1 ? 1000 : undefined }),
    );
    await getInBrowser(served, { sha256: SHA256 });
    assert.equal([range(served, 2), served.requests[1].headers["if-range"]], ["bytes=1000-", undefined]);
    assert.is(served.sent, BODY.length);

    const changed = serve((request, response, count) => {
      const date = count === 1 ? LAST_MODIFIED : "Thu, 22 Oct 2015 07:28:00 GMT";
      send(request, response, { headers: { "last-modified": date }, cut: count === 1 ? 1000 : undefined });
    });
    await getInBrowser(changed);
    assert.is(range(changed, 3), undefined);

    // Shown the length of compressed bytes, but not that they were compressed.
    const packed = gzipSync(BODY);
    await getInBrowser(good({ body: packed, headers: { "content-encoding": "gzip" } }));
  });
});

test.run();
