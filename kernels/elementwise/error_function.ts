/** The error function, by its Taylor series, and 1 where that is as close as float64 gets. */
export function errorFunction(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The density of the normal distribution. */
export const normalDensity = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** The share of the normal distribution that is left of -a, a being no less than 0. */
export function normalTail(a: number): number {
  if (a < 3) return (1 - errorFunction(a / Math.SQRT2)) / 2;
  // Where 1 - erf has no digits left: Laplace's continued fraction of Mills' ratio.
  let fraction = a;
  for (let k = 100; k > 0; k--) fraction = a + k / fraction;
  return normalDensity(a) / fraction;
}
