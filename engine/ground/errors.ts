/**
 * Every error that shadenet throws on purpose. `code` is stable and meant for programs; the message is for people:
 * what was got, what was wanted and what to do.
 */
export class ShadenetError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The caller asked for something that does not exist or does not fit: an unknown option, net, layer or operator. */
export class UsageError extends ShadenetError {
  constructor(message: string, options?: ErrorOptions) {
    super("USAGE", message, options);
  }
}

/** Shapes that do not fit an operator or a net. */
export class ShapeError extends ShadenetError {
  constructor(message: string, options?: ErrorOptions) {
    super("SHAPE", message, options);
  }
}

/** An image that cannot be read or is not one. */
export class ImageError extends ShadenetError {
  constructor(message: string, options?: ErrorOptions) {
    super("IMAGE", message, options);
  }
}

/** A checkpoint that is damaged, or whose tensors are not those of the net. */
export class WeightsError extends ShadenetError {
  constructor(message: string, options?: ErrorOptions) {
    super("WEIGHTS", message, options);
  }
}

/** A file that cannot be opened, read or written. */
export class FileError extends ShadenetError {
  constructor(message: string, options?: ErrorOptions) {
    super("FILE", message, options);
  }
}

/** No adapter or no device, a device that was lost or ran out of memory, or results that are no numbers. */
export class GpuError extends ShadenetError {
  constructor(
    code: "NO_ADAPTER" | "DEVICE_LOST" | "OUT_OF_MEMORY" | "LIMIT" | "SHADER" | "OVERFLOW" | "GPU",
    message: string,
    options?: ErrorOptions,
  ) {
    super(code, message, options);
  }
}

/** Something was used after dispose() or close(). */
export class DisposedError extends ShadenetError {
  constructor(what: string) {
    super("DISPOSED", `${what} was used after it was disposed of; make a new one`);
  }
}

/** A value as it may stand in a message: short, whatever it is. */
export function show(value: unknown): string {
  let text: string;
  try {
    text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  } catch {
    // Circular, or with a BigInt in it.
    text = typeof value === "bigint" ? `${value}n` : Object.prototype.toString.call(value);
  }
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Throws a UsageError unless the value is one of the legal ones. */
export function checkChoice(name: string, value: unknown, legal: readonly string[]): void {
  if (legal.includes(value as string)) return;
  throw new UsageError(`${name} is ${show(value)}; it must be one of ${legal.join(", ")}`);
}

/**
 * Throws a UsageError unless options are an object with legal names, which the message lists, and its signal and callbacks
 * are what these are everywhere.
 */
export function checkOptions(what: string, given: object, legal: readonly string[]): void {
  if (typeof given !== "object" || given === null)
    throw new UsageError(`${what}: got ${show(given)} for the options, wanted an object`);
  const unknown = Object.keys(given).find((name) => !legal.includes(name));
  if (unknown === undefined) {
    checkCallbacks(what, given);
    return;
  }
  const list = legal.length > 0 ? `its options are ${legal.join(", ")}` : "it has no options";
  throw new UsageError(`${what} has no option ${show(unknown)}; ${list}`);
}

function checkCallbacks(what: string, given: { signal?: unknown; onProgress?: unknown; onLost?: unknown }): void {
  const { signal, onProgress, onLost } = given;
  if (signal !== undefined && typeof (signal as AbortSignal | null)?.throwIfAborted !== "function")
    throw new UsageError(`${what}: signal is ${show(signal)}; it must be an AbortSignal`);
  for (const [name, call] of Object.entries({ onProgress, onLost })) {
    if (call !== undefined && typeof call !== "function")
      throw new UsageError(`${what}: ${name} is ${show(call)}; it must be a function`);
  }
}
