import type { Device } from "../device/device.ts";
import { FileError } from "../ground/errors.ts";

// Which variants of operators were measured to be fastest on an adapter, as the host keeps it between programs.

interface Kept {
  /** Of the kernels that were measured; with others it counts no more. */
  readonly kernels: string;
  /** Names of variants by callKey(). */
  readonly choices: Readonly<Record<string, string>>;
}

/** What is kept of a kind for an adapter with this driver: a name for a file, of a long one its end, where the version is. */
export const nameFor = (kind: string, { vendor, architecture, device, description }: Device["adapter"]): string =>
  `${kind}-${[vendor, architecture, device, description]
    .join(" ")
    .replace(/[^\w.]+/g, "-")
    .slice(-150)}.json`;

export const tuningName = (adapter: Device["adapter"]): string => nameFor("tuned", adapter);

/**
 * Takes over what tune() kept for this adapter. Whatever is wrong with it is told in gpu.warnings, in one line, and it is
 * as if nothing had been measured.
 */
export async function readTuning(gpu: Device): Promise<void> {
  const problem = await read(gpu);
  if (problem) gpu.warnings.push(`what was measured on this adapter is ignored: ${problem}`);
}

/** What is wrong with what was kept, if anything is. */
async function read(gpu: Device): Promise<string | undefined> {
  const name = tuningName(gpu.adapter);
  const again = "run shadenet tune again";
  let text: string | undefined;
  try {
    text = await gpu.host.storage?.read(name);
  } catch (error) {
    return (error as Error).message;
  }
  if (text === undefined) return undefined;
  const kept = parse(text);
  if (!kept) return `${name} is damaged; ${again}`;
  if (kept.kernels !== gpu.options.kernelHash) return `${name} is of another version's kernels; ${again}`;
  const choices = Object.entries(kept.choices);
  const [unknown] = choices.filter(([key, variant]) => !exists(gpu, operatorOf(key), variant));
  if (unknown) {
    const [key, variant] = unknown.map((part) => JSON.stringify(part.slice(0, 40)));
    return `${name} names a variant ${variant} for ${key}, which does not exist; ${again}`;
  }
  gpu.tuned = new Map(choices);
  return undefined;
}

/** The text as it was kept; undefined if it is anything else. */
function parse(text: string): Kept | undefined {
  try {
    const { kernels, choices } = JSON.parse(text) as Kept;
    const isSound = isRecord(choices) && Object.values(choices).every((variant) => typeof variant === "string");
    return isSound ? { kernels, choices } : undefined;
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value);

/** callKey() begins with the operator. */
const operatorOf = (key: string): string => key.split(" ", 1)[0];

function exists({ variants }: Device, operator: string, name: string): boolean {
  if (!Object.hasOwn(variants, operator)) return false;
  return name === operator || variants[operator].some((variant) => variant.name === name);
}

/**
 * Adds what was measured to what is kept, if this device was opened to: others may have measured meanwhile. Throws a
 * FileError where that is not possible.
 */
export async function writeTuning(gpu: Device, measured: ReadonlyMap<string, string>): Promise<void> {
  const { adapter, host, options } = gpu;
  const { kernelHash } = options;
  if (!kernelHash) return;
  const add = (text = "") => {
    const before = parse(text);
    const sound = Object.entries((before?.kernels === kernelHash && before.choices) || {}).filter(([key, variant]) =>
      exists(gpu, operatorOf(key), variant),
    );
    const kept: Kept = { kernels: kernelHash, choices: Object.fromEntries([...sound, ...measured]) };
    return JSON.stringify(kept, null, 1);
  };
  try {
    await host.storage?.update(tuningName(adapter), add);
  } catch (cause) {
    throw new FileError(`what was measured cannot be kept: ${(cause as Error).message}`, { cause });
  }
}
