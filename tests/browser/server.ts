// A web server on loopback for pages under test: files below a folder, and whatever handlers make up.
import { createReadStream, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".svg": "image/svg+xml",
};

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export interface Served {
  /** Such as "http://127.0.0.1:41234". */
  readonly origin: string;
  /** Paths that were asked for, in order. */
  readonly requests: readonly string[];
  close(): void;
}

/** Serves `handlers` by path, and the files below `root`; to pages of other origins, too, if it is `open`. */
export async function serve(
  root: string,
  handlers: Readonly<Record<string, Handler>> = {},
  { open = false }: { readonly open?: boolean } = {},
): Promise<Served> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    requests.push(pathname);
    if (open) response.setHeader("access-control-allow-origin", "*");
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
  response.writeHead(200, { "content-type": type, "content-length": file.size });
  createReadStream(path).pipe(response);
}

/** Answers with a text. */
export const text =
  (type: string, body: string): Handler =>
  (_request, response) => {
    response.writeHead(200, { "content-type": type }).end(body);
  };
