/** Which of a checkpoint's mappings is a net's, under which names, and what is wrong where none is. */

import { UsageError, WeightsError } from "../ground/errors.ts";
import { formatShape, type Shape, sameShape, sizeOf } from "../ground/tensor.ts";
import { type Checkpoint, listNames, OPTIMIZER, quote, type TensorInfo } from "./checkpoint.ts";
import { isCounted, type Knowledge, type OtherNet } from "./match.ts";

/** Names that wrappers put between those of the modules they wrap: DataParallel, compile, FSDP, activation checkpoints. */
const WRAPPERS = ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/** A part of a checkpoint under names that may be others than its own. */
interface Reading {
  readonly key: string;
  readonly part: Checkpoint;
  /** What was taken off the names. */
  readonly off: readonly string[];
  /** The part's names by the others. */
  readonly names: ReadonlyMap<string, string>;
  readonly faults: Faults;
}

interface Faults {
  readonly count: number;
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  readonly misshapen: readonly { readonly name: string; readonly is: Shape; readonly want: Shape }[];
}

/** See matchCheckpoint, which calls this where something is to be chosen or told. */
export async function fitCheckpoint(
  checkpoint: Checkpoint,
  wanted: ReadonlyMap<string, Shape>,
  key: string | undefined,
  { rename, misshapen }: Knowledge,
  others?: () => Promise<readonly OtherNet[]>,
): Promise<Checkpoint> {
  const parts = checkpoint.parts ?? new Map([["", checkpoint]]);
  const named = [...parts].filter(([name]) => key === undefined || name === key);
  const asked = named.map(([name, part]) => [name, withoutOptimizer(part)] as const);
  if (asked.length === 0) {
    const told = `has no mapping ${quote(key ?? "")} for weightsKey; it has ${listNames(parts.keys())}`;
    throw new UsageError(`${checkpoint.name} ${told}`);
  }
  const readings = readParts(asked, wanted, rename);
  const names = [...wanted.keys()].filter(isCounted);
  const fitting: Reading[] = [];
  for (const [best] of readings)
    if (best.faults.count === 0 && !fitting.some((other) => isSame(other, best, names))) fitting.push(best);
  if (fitting.length > 1) {
    const keys = listNames(fitting.map((each) => each.key));
    const told = `has ${fitting.length} mappings of names to tensors that fit: ${keys}; choose one with weightsKey`;
    throw new WeightsError(`${checkpoint.name} ${told}`);
  }
  if (fitting.length === 1) return renamed(fitting[0], wanted);
  const closest = readings.flat().reduce((best, next) => (next.faults.count < best.faults.count ? next : best));
  const of = asked.length > 1 ? `; that is ${quote(closest.key)} of its ${asked.length} mappings` : "";
  const advice = adviseOn(closest, wanted, misshapen);
  // The fault is to be told even where the nets cannot be loaded that it might be of.
  const instead = advice ? "" : tellOthers(asked, (await others?.().catch(() => undefined)) ?? []);
  const told = `${checkpoint.name} does not fit: ${describe(closest)}${advice}${of}${instead}`;
  throw Object.assign(new WeightsError(told), { classes: classesOf(closest, wanted) });
}

/** A checkpoint without what an optimizer keeps of its tensors, as a training saves it beside them. */
function withoutOptimizer(part: Checkpoint): Checkpoint {
  const kept = [...part.tensors].filter(([name]) => !name.startsWith(OPTIMIZER));
  return kept.length === part.tensors.size ? part : { ...part, tensors: new Map(kept) };
}

type Parts = readonly (readonly [key: string, part: Checkpoint])[];

/** The ways to read each part that may fit; see readPart. */
function readParts(parts: Parts, wanted: ReadonlyMap<string, Shape>, rename: Knowledge["rename"]): Reading[][] {
  // An optimizer's state is a mapping for each of its parameters: too small to fit, and too many to look at.
  const count = [...wanted.keys()].filter(isCounted).length;
  const large = parts.filter(([, { tensors }]) => tensors.size >= count);
  const largest = parts.reduce((a, b) => (b[1].tensors.size > a[1].tensors.size ? b : a));
  return (large.length > 0 ? large : [largest]).map(([name, part]) => readPart(name, part, wanted, rename));
}

/** The nets among others that these parts fit, in so many words. */
function tellOthers(parts: Parts, others: readonly OtherNet[]): string {
  const fitting: string[] = [];
  for (const { name, wanted, rename, options } of others) {
    const best = readParts(parts, wanted, rename).map(([first]) => first);
    const classes = best.map((each) => classesOf(each, wanted)).find((count) => count);
    if (!classes && !best.some(({ faults }) => faults.count === 0)) continue;
    const all = [...options, ...(classes ? [`numClasses: ${classes}`] : [])];
    fitting.push(all.length > 0 ? `${name} with ${all.join(", ")}` : name);
  }
  return fitting.length > 0 ? `; it fits ${fitting.slice(0, 3).join(" and ")}` : "";
}

/** The ways to read the names of a part, those with the fewest faults first; of equals, those that change least. */
function readPart(
  key: string,
  part: Checkpoint,
  wanted: ReadonlyMap<string, Shape>,
  rename: Knowledge["rename"] = (name) => name,
): Reading[] {
  // torch's AveragedModel counts in this one.
  const own = [...part.tensors.keys()].filter((name) => name !== "n_averaged" || wanted.has(name));
  const readings: Reading[] = [];
  const add = (others: readonly (string | undefined)[], off: readonly string[], fit = sameShape) => {
    const pairs = others.flatMap((name, i) => (name === undefined ? [] : [[name, own[i]] as const]));
    const names = new Map(pairs);
    if (names.size === pairs.length)
      readings.push({ key, part, off, names, faults: findFaults(names, part, wanted, fit) });
    const known = fit === sameShape ? others.map((name) => name && rename(name)) : others;
    if (known.some((name, i) => name !== others[i])) add(known, off, sameElements);
  };
  const wrappers = WRAPPERS.filter((wrapper) => own.some((name) => name.split(".").slice(0, -1).includes(wrapper)));
  for (const off of wrappers.length > 0 ? [[], wrappers] : [[]]) {
    const names = off.length > 0 ? own.map(unwrap) : own;
    add(names, off);
    for (const prefix of sharedPrefixes(names)) {
      add(
        names.map((name) => name.slice(prefix.length)),
        [...off, prefix.slice(0, -1)],
      );
    }
  }
  return readings.sort((a, b) => a.faults.count - b.faults.count);
}

/** A name without those of wrappers; the last part is the tensor's own. */
const unwrap = (name: string): string =>
  name
    .split(".")
    .filter((part, i, parts) => i === parts.length - 1 || !WRAPPERS.includes(part))
    .join(".");

/** "a.", "a.b.", ... as far as all names begin with it, and not too far. */
function sharedPrefixes(names: readonly string[]): string[] {
  const prefixes: string[] = [];
  for (let end = 0; prefixes.length < 8; ) {
    end = (names[0]?.indexOf(".", end) ?? -1) + 1;
    const prefix = names[0]?.slice(0, end);
    if (end === 0 || !names.every((name) => name.startsWith(prefix))) break;
    prefixes.push(prefix);
  }
  return prefixes;
}

function findFaults(
  names: ReadonlyMap<string, string>,
  { tensors }: Checkpoint,
  wanted: ReadonlyMap<string, Shape>,
  fit: typeof sameShape,
): Faults {
  const missing: string[] = [];
  const misshapen: { name: string; is: Shape; want: Shape }[] = [];
  for (const [name, want] of wanted) {
    if (!isCounted(name)) continue;
    const is = tensors.get(names.get(name) ?? "")?.shape;
    if (!names.has(name) || !is) missing.push(name);
    else if (!fit(is, want)) misshapen.push({ name, is, want });
  }
  const extra = [...names.keys()].filter((name) => isCounted(name) && !wanted.has(name));
  return { missing, extra, misshapen, count: missing.length + extra.length + misshapen.length };
}

/** Whether a linear layer's weights have the elements of a convolution over all that it saw, for one. */
const sameElements = (is: Shape, want: Shape): boolean => is[0] === want[0] && sizeOf(is) === sizeOf(want);

/** Whether two readings are of the very same tensors, as two mappings of one net's are. */
const isSame = (a: Reading, b: Reading, names: readonly string[]): boolean =>
  names.every((name) => infoOf(a, name) === infoOf(b, name));

const infoOf = ({ part, names }: Reading, name: string) => part.tensors.get(names.get(name) ?? "");

/** A part under the names of a reading, in the wanted shapes. */
function renamed({ part, off, names }: Reading, wanted: ReadonlyMap<string, Shape>): Checkpoint {
  if (names.size === part.tensors.size && [...names].every(([name, own]) => name === own)) return part;
  const tensors = new Map(
    [...names].map(([name, own]) => {
      const info = part.tensors.get(own) as TensorInfo;
      return [name, { ...info, shape: wanted.get(name) ?? info.shape }];
    }),
  );
  const ownName = (name: string) => names.get(name) ?? name;
  const { readBytes } = part;
  const taken = `${listNames(off)} was taken off the names of the tensors of ${part.name}: without, they fit`;
  return {
    name: part.name,
    metadata: part.metadata,
    tensors,
    warnings: [...(part.warnings ?? []), ...(off.length > 0 ? [taken] : [])],
    read: (name, ...range) => part.read(ownName(name), ...range),
    readBytes: readBytes && ((name, ...range) => readBytes(ownName(name), ...range)),
    close: () => part.close(),
  };
}

/** A name that may come from a file, as it is if that is short and plain. */
const excerpt = (name: string): string => (/^[\w.:/-]{1,80}$/.test(name) ? name : quote(name));

/** The same for a shape: a file can say anything. */
const excerptShape = (shape: Shape): string =>
  shape.length > 8 ? `${formatShape(shape.slice(0, 8)).slice(0, -1)}, ...]` : formatShape(shape);

/**
 * How many classes a reading has, where weight and bias of the last layer are right but for the count of outputs, and so is
 * all else: a net trained for another set of classes.
 */
function classesOf({ faults }: Reading, wanted: ReadonlyMap<string, Shape>): number | undefined {
  const { misshapen, count } = faults;
  const head = [...wanted.keys()].findLast(isCounted)?.replace(/[^.]*$/, "") ?? "";
  const classes = misshapen[0]?.is[0];
  const onlyClasses = misshapen.every(
    ({ name, is, want }) =>
      name.startsWith(head) && is[0] === classes && sameShape(is.slice(1), want.slice(1)) && is.length === want.length,
  );
  return misshapen.length === count && onlyClasses ? classes : undefined;
}

/** What is to be done where the net is right and its options are not, after a semicolon. */
function adviseOn(reading: Reading, wanted: ReadonlyMap<string, Shape>, advise: Knowledge["misshapen"]): string {
  const classes = classesOf(reading, wanted);
  if (classes) return `; it was trained for ${classes} classes: pass the option numClasses: ${classes}`;
  const { misshapen, count } = reading.faults;
  const advice = misshapen.map(({ name, is, want }) => advise?.(name, is, want)).filter((each) => each !== undefined);
  // Where it explains a part of the faults only, the net is another one.
  return advice.length === count ? `; ${advice[0]}` : "";
}

/** What is wrong, with the first few names of each kind. */
function describe({ faults: { missing, extra, misshapen }, off }: Reading): string {
  const problems = [
    [missing.map(excerpt), "missing"] as const,
    [extra.map(excerpt), "extra"] as const,
    [
      misshapen.map(({ name, is, want }) => `${excerpt(name)} is ${excerptShape(is)}, wanted ${formatShape(want)}`),
      "misshapen",
    ] as const,
  ].filter(([list]) => list.length > 0);
  const told = problems.map(([list, what], i) => {
    const noun = i > 0 ? "" : list.length === 1 ? "tensor " : "tensors ";
    return `${list.length} ${noun}${what} (${list.slice(0, 3).join(", ")}${list.length > 3 ? ", ..." : ""})`;
  });
  const without = off.length > 0 ? ` once ${listNames(off)} is taken off its names` : "";
  return `${told.join(", ")}${without}`;
}
