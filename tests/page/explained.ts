// What the page says a value of LeNet-5 is made of, and that it is.
import type { Page } from "playwright-core";
import * as assert from "uvu/assert";

/** What is shown of the value that is pointed at, with all digits. */
export interface Shown {
  readonly name: string;
  readonly value: number;
  readonly patch: readonly number[];
  readonly filter: readonly number[];
  readonly product: readonly number[];
  readonly addend: readonly number[];
  readonly bias?: number;
  readonly sum?: number;
  readonly tanh?: number;
}

export const readShown = (page: Page): Promise<Shown> =>
  page.evaluate(() => {
    const numbers = (kind: string) =>
      [...document.querySelectorAll<HTMLDataElement>(`#unit data${kind}`)].map(({ value }) => Number(value));
    const name = document.querySelector(".unit-name")?.textContent ?? "";
    const [value] = numbers(":not(.equation *)");
    const [bias] = numbers(".bias");
    const [sum] = numbers(".sum");
    const [tanh] = numbers(".tanh");
    const [patch, filter, product, addend] = [".patch", ".filter", ".product", ".addend"].map(numbers);
    return { name, value, patch, filter, product, addend, bias, sum, tanh };
  });

export const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, number) => sum + number, 0);
export const isNear = (a: number, b: number, what: string): void =>
  assert.ok(Math.abs(a - b) < 1e-5, `${what}: ${a} and ${b}`);

/** Computes what is pointed at from what is shown of it. */
export function recompute({ name, value, patch, filter, product, addend, bias, sum, tanh }: Shown): void {
  const products = patch.map((v, i) => v * filter[i]);
  for (const [i, v] of products.entries()) isNear(v, product[i], `${name}, product ${i}`);
  const terms = addend.length > 0 ? addend : products;
  if (addend.length > 0 && products.length > 0)
    assert.ok(
      addend.some((v) => Math.abs(v - sumOf(products)) < 1e-5),
      `${name}: no term is that of the patch`,
    );
  const total = sumOf(terms) + (bias ?? 0);
  isNear(total, sum ?? Number.NaN, `${name}, the sum`);
  if (tanh === undefined) isNear(total, value, name);
  else isNear(Math.tanh(total), value, name);
}
