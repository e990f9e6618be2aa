import { check, ShapeError } from "../engine/ground/errors.ts";
import { formatShape, type Shape } from "../engine/ground/tensor.ts";

/** One number for both dimensions, or [height, width]. */
export type Pair = number | readonly [number, number];

/** One number for all sides, [vertical, horizontal], or [top, left, bottom, right]. */
export type Padding = Pair | readonly [number, number, number, number];

const isWhole = (value: unknown, least: number): value is number =>
  Number.isInteger(value) && (value as number) >= least && (value as number) < 2 ** 31;

/** [height, width] of an option; throws a UsageError unless both are integers of at least `least`. */
export function pair(name: string, value: Pair, least = 1): [number, number] {
  const [height, width, ...rest] = Array.isArray(value) ? value : [value, value];
  const isPair = isWhole(height, least) && isWhole(width, least) && rest.length === 0;
  check(isPair, name, value, `an integer of at least ${least}, or [height, width]`);
  return [height, width];
}

/** [top, left, bottom, right] of a padding; throws a UsageError unless they are integers of at least `least`. */
export function sides(name: string, value: Padding, least = 0): [number, number, number, number] {
  const given = (Array.isArray(value) ? value : [value, value]) as readonly number[];
  const [top, left, bottom = top, right = left] = given;
  const all: [number, number, number, number] = [top, left, bottom, right];
  const isPadding = all.every((side) => isWhole(side, least)) && [2, 4].includes(given.length);
  check(
    isPadding,
    name,
    value,
    `an integer of at least ${least}, [vertical, horizontal] or [top, left, bottom, right]`,
  );
  return all;
}

/** Sizes of an image batch, with a ShapeError unless the shape has four dimensions. */
export function nchw(kernel: string, shape: Shape): [number, number, number, number] {
  if (shape.length === 4) return shape as unknown as [number, number, number, number];
  throw new ShapeError(`${kernel} takes images of shape [N, C, H, W], got ${formatShape(shape)}`);
}

/** A dimension counted from the front, or from the back if negative. */
export function axis(kernel: string, name: string, value: number, rank: number): number {
  const isAxis = Number.isInteger(value) && value >= -rank && value < rank;
  check(isAxis, `${kernel}: ${name}`, value, `from ${-rank} to ${rank - 1}, since there are ${rank} dimensions`);
  return value < 0 ? value + rank : value;
}
