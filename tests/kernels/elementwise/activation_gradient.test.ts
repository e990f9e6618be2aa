import { test } from "uvu";
import { ShapeError, UsageError } from "../../../engine/ground/errors.ts";
import { tensor } from "../../../engine/ground/tensor.ts";
import { activationGradient } from "../../../kernels/elementwise/activation_gradient.ts";
import {
  apply,
  checkKernel,
  drawShape,
  int,
  open,
  randomTensor,
  refuses,
  sameBits,
  testVariants,
} from "../../harness.ts";

const gpu = await open();

/**
 * What of |dy| an error is relative to at x: the derivative, or the magnitudes of the terms where they cancel. An exponential
 * is as many ulps off as its exponent is large.
 */
const sizes = {
  clamp: () => 0,
  gelu: (x) => (1 + x * x) * (x < 0 ? Math.exp((-x * x) / 2) * (0.5 - 0.4 * x) : 1),
  hardsigmoid: () => 1 / 6,
  hardswish: (x) => (Math.abs(x) < 3 ? 1.5 : 0),
  leaky_relu: () => 1,
  relu: () => 0,
  relu6: () => 0,
  sigmoid: (y) => y * (1 - y),
  silu: (x) => (1 + Math.abs(x)) * (x < 0 ? Math.exp(x) * (1 - x) : 1),
  tanh: (y) => (1 - y) * (1 + y),
} satisfies Record<string, (x: number) => number>;

type Differentiable = keyof typeof sizes;

/** What is taken for x by those that take what they made of it; none that a device may flush to 0. */
const made: Partial<Record<Differentiable, (x: number) => number>> = {
  sigmoid: (x) => (x < -60 ? 0 : 1 / (1 + Math.exp(-x))),
  tanh: Math.tanh,
};

for (const activation of Object.keys(sizes) as Differentiable[]) {
  test(`${activation}: random tensors of any shape, from tiny values to the tails`, async () => {
    for (const [i, scale] of [1e-3, 0.4, 2, 8, 30, 100, 1e30].entries()) {
      const drawn = randomTensor(drawShape(i), scale);
      const x = tensor(drawn.shape, drawn.data.map(made[activation] ?? ((v) => v)));
      const dy = randomTensor(x.shape, 3);
      const options = { activation, low: int(-8, 0) / 8, high: int(0, 8) / 8, negativeSlope: int(-8, 8) / 8 };
      const tolerance = (_want: number, at: number) =>
        8 * 2 ** -23 * Math.abs(dy.data[at]) * Math.min(sizes[activation](x.data[at]) || 0, 1e30);
      await checkKernel(gpu, activationGradient, { x, dy }, options, tolerance);
    }
  });
}

testVariants(gpu, activationGradient);

test("corners, infinities and NaN as PyTorch has them", async () => {
  const { NaN: nan, Infinity: inf } = { NaN, Infinity };
  const rows: [Differentiable, [x: number, dy: number, dx: number][]][] = [
    [
      "clamp",
      [
        [-1, 2, 2],
        [1, 2, 2],
        [1.25, nan, 0],
        [-inf, inf, 0],
        [nan, 2, 0],
      ],
    ],
    [
      "gelu",
      [
        [0, 2, 1],
        [-200, 2, -0],
        [200, inf, inf],
        [-inf, 2, nan],
        [inf, 2, nan],
        [nan, 2, nan],
      ],
    ],
    [
      "hardsigmoid",
      [
        [-3, 6, 0],
        [3, 6, 0],
        [0, 6, 1],
        [inf, nan, 0],
        [nan, 6, 0],
      ],
    ],
    [
      "hardswish",
      [
        [-3, 2, 0],
        [3, 2, 2],
        [0, 2, 1],
        [inf, 2, 2],
        [-inf, nan, 0],
        [nan, 2, nan],
      ],
    ],
    [
      "leaky_relu",
      [
        [0, 4, 1],
        [-0, 4, 1],
        [inf, 4, 4],
        [-inf, 4, 1],
        [nan, 4, 1],
      ],
    ],
    [
      "relu",
      [
        [0, 2, 0],
        [-0, 2, 0],
        [1e-30, 2, 2],
        [-1, nan, 0],
        [inf, 2, 2],
        [-inf, inf, 0],
        [nan, 2, 2],
      ],
    ],
    [
      "relu6",
      [
        [0, 2, 0],
        [6, 2, 0],
        [5.75, 2, 2],
        [inf, nan, 0],
        [-inf, inf, 0],
        [nan, 2, 2],
      ],
    ],
    [
      "sigmoid",
      [
        [0.5, 4, 1],
        [0.25, 16, 3],
        [1, 4, 0],
        [0, 4, 0],
        [1, inf, nan],
        [nan, 4, nan],
      ],
    ],
    [
      "silu",
      [
        [0, 4, 2],
        [200, 4, 4],
        [-200, 4, -0],
        [inf, 4, nan],
        [-inf, 4, nan],
        [nan, 4, nan],
      ],
    ],
    [
      "tanh",
      [
        [0, 4, 4],
        [0.5, 4, 3],
        [1, 4, 0],
        [-1, 4, 0],
        [-1, inf, nan],
        [nan, 4, nan],
      ],
    ],
  ];
  for (const [activation, calls] of rows) {
    const [x, dy, dx] = [0, 1, 2].map((column) =>
      tensor(
        [calls.length],
        calls.map((call) => call[column]),
      ),
    );
    const options = { activation, low: -1, high: 1, negativeSlope: 0.25 };
    sameBits(await gpu.eager(activationGradient, x, dy, options), dx, activation);
  }
});

test("what does not fit is refused", async () => {
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => apply(activationGradient, [[3], [3]], options), UsageError, "USAGE", message);
  await refusesUse({}, /activation_gradient needs the option "activation"/);
  await refusesUse({ activation: "elu" }, /activation_gradient: activation is "elu"; it must be one of clamp, gelu, /);
  await refusesUse({ activation: "clamp", low: NaN }, /activation_gradient: low is NaN; it must be a number/);
  const unlike = () => apply(activationGradient, [[3], [4]], { activation: "relu" });
  await refuses(unlike, ShapeError, "SHAPE", /activation_gradient: dy is \[4\]; it must be \[3\] like x/);
});

test.run();
