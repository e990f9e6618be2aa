/**
 * Every error that shadenet throws on purpose. `code` is stable and meant for programs; the message is for people:
 * what was got, what was wanted and what to do.
 */
export class ShadenetError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(textOf(message), options);
    this.name = new.target.name;
    this.code = code;
  }
}

const textOf = (message: unknown): string => (typeof message === "string" ? message : show(message));

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
    super("DISPOSED", `${textOf(what)} was used after it was disposed of; make a new one`);
  }
}

const kindOf = (value: unknown): string => Object.prototype.toString.call(value);

/** A value as it may stand in a message: short, whatever it is, and made in no time. */
export function show(value: unknown): string {
  const isObject = typeof value === "object" || typeof value === "function";
  let text = isObject ? kindOf(value) : `${String(value)}${typeof value === "bigint" ? "n" : ""}`;
  let parts = 0;
  const bounded = (_: string, part: unknown) => {
    if (parts++ > 99) throw parts;
    return ArrayBuffer.isView(part) ? kindOf(part) : part;
  };
  try {
    if (isObject || typeof value === "string") text = JSON.stringify(value, isObject ? bounded : undefined) ?? text;
  } catch {
    // Circular, with a BigInt in it, or too much: then what kind of thing it is has to do.
  }
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Throws a UsageError that says what was got and what is wanted, unless `ok`. */
export function check(ok: boolean, what: string, got: unknown, wanted: string): asserts ok {
  if (!ok) throw new UsageError(`${what} is ${show(got)}; it must be ${wanted}`);
}

/** Throws a UsageError unless the value is one of the legal ones. */
export const checkChoice = (name: string, value: unknown, legal: readonly string[]): void =>
  check(legal.includes(value as string), name, value, `one of ${legal.join(", ")}`);

export const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0;

/** Throws a UsageError unless the value is a positive integer. */
export const checkCount = (name: string, value: unknown): void =>
  check(isCount(value), name, value, "a positive integer");

/** Throws a UsageError unless it is a string. */
export const checkText = (what: string, text: unknown): void => check(typeof text === "string", what, text, "a string");

export const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((text) => typeof text === "string");

/** Throws a UsageError unless it is an object of nothing but its fields: no array, no Map. */
export function checkObject(what: string, given: unknown): asserts given is object {
  check(kindOf(given) === "[object Object]", what, given, "an object");
}

/**
 * Throws a UsageError unless something has fields of these types, by the names that `typeof` has for them. A field of bytes is
 * no object here: its indices would be taken for names.
 */
export function checkFields(what: string, given: unknown, types: Readonly<Record<string, string>>): void {
  for (const [name, type] of Object.entries(types)) {
    const value: unknown = Object(given)[name];
    check(
      typeof value === type && value !== null && !ArrayBuffer.isView(value),
      what,
      given,
      `something with ${name} (${type})`,
    );
  }
}

/** What options have in common. */
interface Watched {
  readonly signal?: AbortSignal;
  readonly onProgress?: unknown;
  readonly onLost?: unknown;
}

/**
 * Throws a UsageError unless options are an object with legal names, which the message lists, and its signal and callbacks
 * are what these are everywhere.
 */
export function checkOptions(what: string, given: object, legal: readonly string[]): void {
  checkObject(`${what}: options`, given);
  const unknown = Object.keys(given).find((name) => !legal.includes(name));
  if (unknown !== undefined) {
    const list = legal.length > 0 ? `its options are ${legal.join(", ")}` : "it has no options";
    throw new UsageError(`${what} has no option ${show(unknown)}; ${list}`);
  }
  const { signal, onProgress, onLost }: Watched = given;
  const isSignal = signal === undefined || typeof signal?.throwIfAborted === "function";
  check(isSignal, `${what}: signal`, signal, "an AbortSignal");
  for (const [name, call] of Object.entries({ onProgress, onLost }))
    check(call === undefined || typeof call === "function", `${what}: ${name}`, call, "a function");
}
