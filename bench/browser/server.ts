// A web server on loopback for pages of tests and benches: files below a folder, and whatever handlers make up.
import { createReadStream, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".webp": "image/webp",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** Every page and every worker of it loads a hundred modules. */
const SCRIPTS = "max-age=600";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Served {
  /** Such as "http://127.0.0.1:41234". */
  readonly origin: string;
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[];
  close(): void;
}

export interface ServeOptions {
  /** Lets pages of other origins read all of it, too. */
  readonly open?: boolean;
  /** Lets its pages share memory between threads. */
  readonly isolated?: boolean;
}

const ISOLATION = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

/** Serves `handlers` by path, and the files below `root`. */
export async function serve(
  root: string,
  handlers: Readonly<Record<string, Handler>> = {},
  { open = false, isolated = false }: ServeOptions = {},
): Promise<Served> {
  const headers = Object.entries({
    ...(open ? { "access-control-allow-origin": "*" } : {}),
    ...(isolated ? ISOLATION : {}),
  });
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    requests.push(pathname);
    for (const [name, value] of headers) response.setHeader(name, value);
    if (Object.hasOwn(handlers, pathname)) handlers[pathname](request, response);
    else sendFile(join(root, normalize(decodeURIComponent(pathname))), response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function sendFile(path: string, response: ServerResponse): void {
  const file = statSync(path, { throwIfNoEntry: false });
  if (!file?.isFile()) {
    response.writeHead(404).end();
    return;
  }
  const type = TYPES[extname(path)] ?? "application/octet-stream";
  response.setHeader("cache-control", type === TYPES[".js"] ? SCRIPTS : "no-cache");
  response.writeHead(200, { "content-type": type, "content-length": file.size });
  createReadStream(path).pipe(response);
}

/** Answers with a file. */
export const file =
  (path: string): Handler =>
  (_request, response) =>
    sendFile(path, response);

/** Answers with a text. */
export const text =
  (type: string, body: string): Handler =>
  (_request, response) => {
    response.writeHead(200, { "content-type": type }).end(body);
  };
