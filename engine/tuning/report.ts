import type { Timings } from "../device/profile.ts";
import type { Plan, Step } from "../graph/plan.ts";
import { CONSTANTS } from "../graph/wgsl.ts";
import { median } from "../ground/statistics.ts";
import { leastSeconds, type Roofline } from "./roofline.ts";

// What the timings of a plan's steps say about its kernels: pure functions of plain data.

/** How long something took and what it did in that time. */
export interface Performance {
  /** The median of the runs; of several steps, the sum of theirs. */
  readonly milliseconds: number;
  /** Floating-point operations, a multiply-add being two, and the bytes that must move at least. */
  readonly flops: number;
  readonly bytes: number;
  /** Per second; undefined where the clock saw no time pass. */
  readonly flopsRate?: number;
  readonly bytesRate?: number;
  /** The least time that the device's roofline allows, over the time taken. Caches can make it more than 1. */
  readonly rooflineShare?: number;
}

export interface StepProfile extends Performance {
  readonly layer: string;
  readonly kernel: string;
  /** What the kernel was taken for: the net's operator, which of its variants, and why this one. */
  readonly operator: string;
  readonly variant?: string;
  readonly why?: string;
  /** Workgroups per dimension. */
  readonly grid: readonly number[];
  /** The specialized constants of the kernel's source, tile sizes among them. */
  readonly constants: Readonly<Record<string, number | boolean>>;
}

/** Steps that have something in common, together. */
export interface GroupProfile extends Performance {
  readonly name: string;
  readonly steps: number;
  /** Of the time of all steps. */
  readonly share: number;
}

/** Every step of a plan by the median of its times. */
export function profileSteps({ steps }: Plan, { runs }: Timings, roofline: Roofline): StepProfile[] {
  return steps.map((step, i) => {
    const milliseconds = median(runs.map((spans) => spans[i].end - spans[i].start));
    return { ...describeStep(step), ...rate([{ ...step, milliseconds }], roofline) };
  });
}

/** What a step is, without how long it took. */
export function describeStep({ label, kernel, choice, grid, code }: Step) {
  const { operator = kernel, variant, why } = choice ?? {};
  return { layer: label, kernel, operator, variant, why, grid, constants: constantsOf(code) };
}

/** Steps grouped by what `key` says of them, the slowest group first. */
export function groupSteps(
  steps: readonly StepProfile[],
  key: (step: StepProfile) => string,
  roofline: Roofline,
): GroupProfile[] {
  const total = sum(steps, "milliseconds");
  const groups = new Map<string, StepProfile[]>();
  for (const step of steps) groups.set(key(step), [...(groups.get(key(step)) ?? []), step]);
  return [...groups]
    .map(([name, members]) => ({ name, steps: members.length, members: rate(members, roofline) }))
    .map(({ name, steps, members }) => ({ name, steps, share: members.milliseconds / total || 0, ...members }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

/** The roof over layers of these intensities, in operations per byte: x in those, y in operations per second. */
export function roof(
  intensities: readonly number[],
  { flops, bytes }: Pick<Roofline, "flops" | "bytes">,
): readonly [foot: RoofPoint, ridge: RoofPoint, end: RoofPoint] {
  const ridge = flops / bytes;
  const least = Math.min(...intensities, ridge) / 2;
  return [
    { x: least, y: least * bytes },
    { x: ridge, y: flops },
    { x: Math.max(...intensities, ridge) * 4, y: flops },
  ];
}

type RoofPoint = { readonly x: number; readonly y: number };

type Work = Pick<Performance, "milliseconds" | "flops" | "bytes">;

/** Work done one after the other, against the roofline. */
export function rate(parts: readonly Work[], roofline: Pick<Roofline, "flops" | "bytes">): Performance {
  const [milliseconds, flops, bytes] = (["milliseconds", "flops", "bytes"] as const).map((key) => sum(parts, key));
  if (milliseconds === 0) return { milliseconds, flops, bytes };
  const seconds = milliseconds / 1000;
  const least = parts.reduce((total, part) => total + leastSeconds(part, roofline), 0);
  return {
    milliseconds,
    flops,
    bytes,
    flopsRate: flops / seconds,
    bytesRate: bytes / seconds,
    rooflineShare: least / seconds,
  };
}

const sum = (parts: readonly Work[], key: keyof Work): number => parts.reduce((total, part) => total + part[key], 0);

/** What specialize() has set. */
const constantsOf = (code: string): Record<string, number | boolean> =>
  Object.fromEntries(
    [...code.matchAll(CONSTANTS)].map(([, name, type, value]) => [
      name,
      type === "bool" ? value === "true" : Number.parseFloat(value),
    ]),
  );
