import * as assert from "uvu/assert";
import type { Gpu } from "../../../engine/gpu.ts";
import { type Tensor, tensor } from "../../../engine/ground/tensor.ts";
import { tableFor } from "../../../kernels/training/table.ts";
import { assertClose, pick, random, randomTensor, sameBits } from "../../harness.ts";
import { runInPlace } from "./in_place.ts";

const training = await tableFor();

/** A rule in float64: changes w and the moments of one parameter by its gradient g, in step t, which counts from 1. */
export type Rule = (state: Record<string, number>, g: number, t: number, lr: number) => void;

/** Elements in vec4s, also one of these, and one more or less than a workgroup has. */
export const drawCount = (): number => 4 * pick(1, 63, 65, 1001);

const squaresOf = ({ data }: Tensor): number => data.reduce((sum, v) => sum + v * v, 0);

/** What torch.nn.utils.clip_grad_norm_ multiplies gradients with. */
const clippingOf = (norm: number, most: number): number =>
  most > 0 ? Math.min(1, most / (Math.sqrt(norm) + 1e-6)) : 1;

/** Five steps of an optimizer on the GPU against its rule in float64, with other gradients and learning rates in each. */
export async function checkOptimizer(
  gpu: Gpu,
  name: string,
  options: { readonly clipNorm?: number },
  rule: Rule,
): Promise<void> {
  const optimizer = await training.optimizers[name](options);
  const n = drawCount();
  const gradients = Array.from({ length: 5 }, () => randomTensor([n]));
  const rates = gradients.map(() => pick(0.1, 0.01) * (1 + random()));
  const zeros = Object.fromEntries(optimizer.moments.map((moment) => [moment, tensor([n], new Float32Array(n))]));
  const first = { w: randomTensor([n]), ...zeros };
  const states = await runInPlace(
    gpu,
    first,
    gradients.map((g, i) => ({
      g,
      norm: tensor([1], [squaresOf(g)]),
      rates: tensor([optimizer.ratesOf(1, 0).length], optimizer.ratesOf(i + 1, rates[i])),
    })),
    (values) => optimizer.update(values),
  );
  const names = Object.keys(first);
  const want = Array.from({ length: n }, (_, k) => ({ w: first.w.data[k], m: 0, v: 0 }) as Record<string, number>);
  for (const [i, g] of gradients.entries()) {
    const factor = clippingOf(squaresOf(g), options.clipNorm ?? 0);
    want.forEach((state, k) => {
      rule(state, factor * g.data[k], i + 1, rates[i]);
    });
    for (const kept of names) {
      const data = Float64Array.from(want, (state) => state[kept]);
      const what = `${kept} after step ${i + 1} of ${name} with ${JSON.stringify(options)}`;
      assertClose(states[i][kept], { shape: [n], data }, () => 64 * 2 ** -24, what);
    }
  }
  assert.ok(
    states[4].w.data.some((v, k) => Math.abs(v - first.w.data[k]) > 1e-4),
    "five steps change something",
  );
}

/** A step whose gradients are not finite changes nothing. */
export async function checkUnchanged(gpu: Gpu, name: string, options: object): Promise<void> {
  const optimizer = await training.optimizers[name](options);
  const first = Object.fromEntries(["w", ...optimizer.moments].map((kept) => [kept, randomTensor([68])]));
  const steps = [NaN, Infinity].flatMap((norm) =>
    [1, 2].map((step) => ({
      g: randomTensor([68]),
      norm: tensor([1], [norm]),
      rates: tensor([optimizer.ratesOf(1, 0).length], optimizer.ratesOf(step, 0.1)),
    })),
  );
  for (const state of await runInPlace(gpu, first, steps, (values) => optimizer.update(values))) {
    for (const kept of Object.keys(first)) sameBits(state[kept], first[kept], kept);
  }
}
