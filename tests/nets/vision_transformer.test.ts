import { test } from "uvu";
import * as assert from "uvu/assert";
import { trace } from "../../engine/definition.ts";
import { paramShapes } from "../../engine/graph/graph.ts";
import { ShapeError, WeightsError } from "../../engine/ground/errors.ts";
import type { Shape } from "../../engine/ground/tensor.ts";
import { matchCheckpoint } from "../../engine/weights/match.ts";
import { vit_b_32 } from "../../nets/vision_transformer.ts";
import { refuses } from "../harness.ts";

/** A checkpoint of these tensors, of which none is read. */
const checkpointOf = (shapes: Iterable<readonly [string, Shape]>) => ({
  name: "vit.pth",
  tensors: new Map([...shapes].map(([name, shape]) => [name, { shape, dtype: "F32" }])),
  read: async () => new Float32Array(),
  close: async () => {},
});

test("the embedding of places is interpolated as by torchvision, and the class token is not", () => {
  // interpolate_embeddings(160, 32, ...) and (64, 32, ...) of torchvision 0.28: all rows of the first channel.
  const wanted: readonly [from: number, to: number, rows: readonly number[]][] = [
    // biome-ignore format: rows of an image
    [96, 160, [
      -5,
      2, 1.3125, 1, 1.90625, 3,
      -0.5, 1.23242, 3.1875, 4.12695, 4.375,
      -3, 1, 5, 5.75, 5,
      -3.46875, 0.56445, 4.375, 4.5166, 3.1875,
      -3, 0.1875, 3, 2.5625, 1,
    ]],
    [160, 64, [-5, 2, 5, 2, 3]],
    [96, 96, [-5, 2, 1, 3, -3, 5, 5, -3, 3, 1]],
  ];
  const channels = 768;
  for (const [weightsSize, imageSize, rows] of wanted) {
    const { nodes } = trace(vit_b_32, { imageSize, weightsSize });
    const [places] = nodes.flatMap((node) =>
      node.kind === "param" && node.from?.sources.includes("class_token") ? [node] : [],
    );
    const tokens = (weightsSize / 32) ** 2 + 1;
    const embedding = Float32Array.from({ length: tokens * channels }, (_, i) => {
      const [t, c] = [Math.floor(i / channels), i % channels];
      return ((t * t * 7 + c * 3) % 11) - 5;
    });
    const given = embedding.slice();
    const token = new Float32Array(channels).fill(10);
    const got = places.from?.compute(embedding, token) as Float32Array;
    assert.equal(places.shape, [1, rows.length, channels]);
    assert.is(got.length, rows.length * channels);
    for (const [t, value] of rows.entries())
      assert.ok(
        Math.abs(got[t * channels] - (t === 0 ? value + 10 : value)) < 1e-5,
        `${weightsSize} ${imageSize} ${t}`,
      );
    assert.equal(embedding, given);
  }
});

test("a checkpoint for images of another size says so, and is taken with weightsSize", async () => {
  const checkpoint = checkpointOf(paramShapes(trace(vit_b_32)));
  const match = (given: object) =>
    matchCheckpoint(checkpoint, paramShapes(trace(vit_b_32, given)), undefined, vit_b_32);
  await refuses(
    () => match({ imageSize: 448 }),
    WeightsError,
    "WEIGHTS",
    /is \[1, 50, 768\], wanted \[1, 197, 768\].* 50 tokens .* to 197: .* weightsSize: 224/,
  );
  await match({ imageSize: 448, weightsSize: 224 });
  await match({ imageSize: [64, 448], weightsSize: 224 });
  const withSize = (imageSize: number, weightsSize?: number) => () => trace(vit_b_32, { imageSize, weightsSize });
  await refuses(withSize(100), ShapeError, "SHAPE", /cannot take images of 100 x 100 pixels.*multiples of 32, got 100/);
  await refuses(withSize(64, 100), ShapeError, "SHAPE", /weightsSize must be multiples of 32, got 100/);
});

test("what torchvision called the layers of the MLP before is known", async () => {
  const wanted = paramShapes(trace(vit_b_32));
  const old = [...wanted].map(
    ([name, shape]) => [name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."), shape] as const,
  );
  assert.is(old.filter(([name]) => name.includes("linear_")).length, 48);
  const { tensors } = await matchCheckpoint(checkpointOf(old), wanted, undefined, vit_b_32);
  assert.equal([...tensors.keys()].sort(), [...wanted.keys()].sort());
});

test.run();
