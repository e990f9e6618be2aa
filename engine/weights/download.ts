import { FileError, WeightsError } from "../ground/errors.ts";
import type { Watch } from "../ground/options.ts";
import { untilAborted } from "../ground/promises.ts";
import type { Bytes } from "./checkpoint.ts";

/** Which file a sink's bytes are of, as the server described it when it sent the first of them. */
export interface Version {
  /** Its strong ETag, or else its Last-Modified date. */
  readonly validator?: string;
  /** Size of the whole file in bytes. */
  readonly total?: number;
}

/** Where downloaded bytes go: a file in Node, a Blob in a browser. It may hold what an earlier download left. */
export interface Sink {
  /** Bytes that it holds. */
  readonly size: number;
  readonly version: Version;
  append(bytes: Bytes): Promise<void>;
  /** Empties it for the bytes of another version. */
  restart(version: Version): Promise<void>;
}

export interface DownloadOptions extends Watch {
  /** Milliseconds without a byte after which a connection counts as broken; 30 000 by default. */
  readonly stallMs?: number;
  /** How many retries in a row may bring the download no further before it is given up; 5 by default. */
  readonly retries?: number;
  /** Milliseconds before the first retry, 500 by default; each further one waits twice as long. */
  readonly backoffMs?: number;
}

/** The longest that a server can ask to wait with Retry-After, in milliseconds. */
const MAX_WAIT = 60_000;

/** Least time between two reports of progress, in milliseconds. */
const REPORT_EVERY = 50;

/**
 * Downloads a file into a sink, going on from what the sink already holds. A connection that breaks or stalls is taken
 * up again where it broke if the file is still the same and the server can do that, and from the start if not.
 * Rejects with the signal's reason, with a FileError when the server refuses or cannot be reached, with a WeightsError
 * for a web page or other text and for an empty file. The sink keeps what else has come.
 */
export async function download(url: string, sink: Sink, options: DownloadOptions = {}): Promise<void> {
  const { signal, retries = 5, backoffMs = 500 } = options;
  const report = reporter(url, options.onProgress);
  let farthest = sink.size;
  let answered = false;
  let failures = 0;
  let waitMs = 0;
  for (let attempts = 1; ; attempts++) {
    if (waitMs > 0) await sleep(waitMs, signal);
    const connection = new Connection(options);
    try {
      const headers = requestHeaders(url, sink);
      const request = fetch(url, { headers, signal: connection.signal, cache: "no-store" });
      const response = await connection.wait(request, "there was no answer");
      answered = true;
      await receive(url, response, sink, (work, failure) => connection.wait(work, failure), report);
      return report(sink, true);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Interruption)) throw error;
      failures = sink.size > farthest ? 1 : failures + 1;
      farthest = Math.max(farthest, sink.size);
      waitMs = Math.max(error.waitMs, backoffMs * 2 ** (failures - 1));
      // Where no server was ever reached, more than one retry only delays the news.
      const enough = answered ? retries : Math.min(retries, 1);
      if (failures <= enough && error.waitMs <= MAX_WAIT) continue;
      const tried = attempts > 1 ? ` (${attempts} attempts)` : "";
      const unread = conditional(url) ? "" : `, and whether ${hostOf(url)} lets pages of other sites read it: ${CORS}`;
      const advice = answered ? "try again later" : `check the address and the network${unread}`;
      throw new FileError(`cannot download ${url}: ${error.message}${tried}; ${advice}`, { cause: error });
    } finally {
      connection.close();
    }
  }
}

/** What browsers keep a page from reading looks to it like no answer at all. */
const CORS =
  "without the header Access-Control-Allow-Origin it does not; download the file then, and give it as a File, or serve it " +
  "with the page";

const hostOf = (url: string): string => new URL(url).host;

/** An attempt that failed in a way that another one may mend. */
class Interruption extends Error {
  /** What the server asks to wait before it, in milliseconds. */
  readonly waitMs: number;
  constructor(message: string, waitMs = 0, options?: ErrorOptions) {
    super(message, options);
    this.waitMs = waitMs;
  }
}

/** One request's connection: it ends when the caller aborts, when nothing comes for too long, and with close(). */
class Connection {
  readonly #controller = new AbortController();
  readonly #stallMs: number;
  readonly #caller: AbortSignal | undefined;
  readonly signal = this.#controller.signal;

  constructor({ signal, stallMs = 30_000 }: DownloadOptions) {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", this.close);
    this.#caller = signal;
    this.#stallMs = stallMs;
  }

  /** Waits for something from the network; `failure` says what went wrong when it does not come. */
  async wait<T>(work: Promise<T>, failure: string): Promise<T> {
    const timer = setTimeout(this.close, this.#stallMs);
    try {
      return await work;
    } catch (cause) {
      const reason = this.signal.aborted ? `nothing came for ${this.#stallMs / 1000} s` : reasonOf(cause as Error);
      throw new Interruption(`${failure} (${reason})`, 0, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  readonly close = (): void => {
    this.#caller?.removeEventListener("abort", this.close);
    this.#controller.abort();
  };
}

/** Node's fetch says what happened in the cause, and there at times in its code alone. */
function reasonOf({ message, cause }: Error): string {
  const { message: detail, code } = (cause ?? {}) as { message?: string; code?: string };
  return detail || code || message;
}

/** Asks for the rest of the file if the sink has its beginning. */
function requestHeaders(url: string, { size, version }: Sink): Record<string, string> {
  // Compressed bytes could be neither counted nor resumed. Browsers decide about this header themselves.
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (!(version.validator && version.total && size > 0 && size < version.total)) return headers;
  headers.range = `bytes=${size}-`;
  if (conditional(url)) headers["if-range"] = version.validator;
  return headers;
}

/** To another origin, a browser sends If-Range only after asking, which few servers answer; Range is always allowed. */
const conditional = (url: string): boolean => !globalThis.location || location.origin === new URL(url).origin;

/** Moves the body of a response into the sink, after everything that speaks against it. `wait` waits for its bytes. */
export async function receive(
  url: string,
  response: Response,
  sink: Sink,
  wait: <T>(work: Promise<T>, failure: string) => Promise<T>,
  report: Report,
): Promise<void> {
  const { status, headers, body } = response;
  if (status === 416 || (status === 206 && !continues(url, response, sink))) {
    await sink.restart({});
    throw new Interruption("the file on the server has changed");
  }
  if (status !== 200 && status !== 206) throw refusal(url, response);
  if (/^text\/html/i.test(headers.get("content-type") ?? "")) throw textError(url, "<");
  if (status === 200) await sink.restart({ validator: validatorOf(headers), total: lengthOf(headers) });
  const { total } = sink.version;
  report(sink);

  const reader = body?.getReader();
  let start = "";
  try {
    while (reader) {
      const of = total === undefined ? "" : ` of ${total}`;
      const { done, value } = await wait(reader.read(), `the connection broke after ${sink.size}${of} bytes`);
      if (done) break;
      if (start.length < HEAD) start += String.fromCharCode(...value.subarray(0, 2 * HEAD));
      if (start.length >= HEAD && status === 200) await refuseText(url, start, sink);
      await sink.append(value);
      report(sink);
    }
  } catch (error) {
    reader?.cancel(error).catch(() => {});
    throw error;
  }
  if (status === 200) await refuseText(url, start, sink);

  if (sink.size === 0) throw new WeightsError(`${url} is empty; wanted a .safetensors or .pth file`);
  // A browser hides from us whether another origin compressed the bytes that it counted; it does its own check.
  if (total !== undefined && total !== sink.size && response.type !== "cors") {
    throw new Interruption(`the server sent ${sink.size} bytes, wanted ${total}`);
  }
}

/** Whether a partial answer begins where the sink ends, in the same version of the file. */
function continues(url: string, { headers }: Response, { size, version: { validator, total } }: Sink): boolean {
  const range = headers.get("content-range");
  const now = validatorOf(headers);
  // Browsers hide Content-Range of other origins, and an answer to If-Range need not repeat a date.
  const fits = range
    ? range.startsWith(`bytes ${size}-`) && range.endsWith(`/${total}`)
    : size + (lengthOf(headers) ?? 0) === total;
  return fits && (now ? now === validator : conditional(url));
}

function validatorOf(headers: Headers): string | undefined {
  const etag = headers.get("etag");
  return (etag?.startsWith('"') ? etag : headers.get("last-modified")) ?? undefined;
}

/** Bytes of the body, where that is told: the length of compressed bytes is not. */
function lengthOf(headers: Headers): number | undefined {
  const length = headers.get("content-length");
  return length === null || (headers.get("content-encoding") ?? "identity") !== "identity" ? undefined : Number(length);
}

/** The error for a status without a file. */
function refusal(url: string, { status, statusText, headers }: Response): Error {
  const got = `the server answered ${status} ${statusText}`.trim();
  if (status === 408 || status === 429 || status >= 500) {
    const after = headers.get("retry-after") ?? "";
    const waitMs = Number(after) * 1000 || Date.parse(after) - Date.now() || 0;
    return new Interruption(waitMs > MAX_WAIT ? `${got} and asks to wait ${Math.ceil(waitMs / 1000)} s` : got, waitMs);
  }
  const advice = status === 401 || status === 403 ? "it may need a login" : "check the address";
  return new FileError(`cannot download ${url}: ${got}, wanted 200; ${advice}`);
}

/** Bytes by which text is told: every kind of weights has some among its first that no text has. */
const HEAD = 16;

/** Refuses a login page, an error in JSON or a git-lfs pointer, so that none of them gets into a cache. */
async function refuseText(url: string, start: string, sink: Sink): Promise<void> {
  if (!/^[\t\n\r -~]+$/.test(start.slice(0, HEAD))) return;
  // An index of shards is text, and called so.
  if (/^\s*\{/.test(start) && /\.index\.json$/.test(url.split(/[?#]/, 1)[0])) return;
  await sink.restart({});
  throw textError(url, start);
}

function textError(url: string, start: string): WeightsError {
  const what = /^\s*</.test(start) ? "a web page" : `text (${JSON.stringify(start)})`;
  const advice = "check the address, and whether it needs a login";
  return new WeightsError(`${url}: the server sent ${what}, wanted a .safetensors or .pth file; ${advice}`);
}

type Report = (sink: Sink, end?: boolean) => void;

/** Reports progress not too often, never backwards, and once at the end. While the total is unknown it is 0. */
export function reporter(file: string, onProgress: Watch["onProgress"]): Report {
  let reported = -1;
  let due = 0;
  return ({ size: loaded, version: { total = 0 } }, end = false) => {
    const now = performance.now();
    if (!end && (loaded <= reported || now < due)) return;
    reported = loaded;
    due = now + REPORT_EVERY;
    onProgress?.({ phase: "download", file, loaded, total: end ? loaded : total && Math.max(total, loaded) });
  };
}

/** A web address in full, resolved as fetch() does it. Throws a FileError if it is none. */
export function addressOf(location: string | URL): string {
  try {
    return new Request(location).url;
  } catch (cause) {
    throw new FileError(`${location} is not a web address (${(cause as Error).message})`, { cause });
  }
}

/** The address of a file beside another one, or in a folder beside it, under the same name on the server. */
export const besideAddress = (url: string, name: string): string =>
  new URL(name.split("/").map(encodeURIComponent).join("/"), url).href;

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await untilAborted(over, signal).finally(() => clearTimeout(timer));
}

const running = new Map<string, Promise<unknown>>();

/** Does one piece of work per key at a time, so that who comes second finds in the cache what the first one brought. */
export async function inTurn<T>(key: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  for (let other = running.get(key); other; other = running.get(key)) await untilAborted(other, signal);
  const turn = work().finally(() => running.delete(key));
  running.set(
    key,
    turn.catch(() => {}),
  );
  return turn;
}

/** Throws a WeightsError unless a digest begins with the wanted digits; both are hex. */
export function checkHash(url: string, got: string, wanted = ""): void {
  if (matchesHash(got, wanted)) return;
  throw new WeightsError(
    `${url} is not the wanted file: its SHA-256 is ${got}, wanted ${wanted}...; it was damaged on its way (try again) or replaced`,
  );
}

export const matchesHash = (got: string, wanted = ""): boolean => got.startsWith(wanted.toLowerCase());
