import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ImageError, UsageError } from "../../../engine/ground/errors.ts";
import { digitInput, type Image, preprocess, resizeImage } from "../../../engine/image/image.ts";
import { fitTransforms, IMAGENET, type Interpolation, type Transforms } from "../../../engine/image/transforms.ts";
import { someOf } from "../../harness.ts";

// Everything runs from dist/tests/.
const GOLDENS = new URL("../../../../tests/goldens/images/goldens.json", import.meta.url);

interface Goldens {
  resize: {
    pattern: Pattern;
    from: [number, number];
    to: [number, number];
    interpolation: Interpolation;
    sha256: string;
  }[];
  preset: {
    pattern: Pattern;
    from: [number, number];
    resize: number;
    crop: number;
    channels: number;
    sha256: string;
  }[];
}
const goldens: Goldens = JSON.parse(readFileSync(GOLDENS, "utf8"));
const sha256 = (data: NodeJS.ArrayBufferView): string => createHash("sha256").update(data).digest("hex");

/** The synthetic images of goldens/images/make.py: sample c of pixel (x, y), which is the i-th of the image. */
const PATTERNS = {
  noise: (_x: number, _y: number, _c: number, i: number) => Math.imul(i, 2654435761) >>> 24,
  checks: (x: number, y: number, c: number) => (((x >> 2) ^ (y >> (1 + c))) & 1) * 255,
};
type Pattern = keyof typeof PATTERNS;

function synthetic(pattern: Pattern, [width, height]: [number, number], alpha = 255): Image {
  const data = new Uint8Array(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      data[i * 4 + c] = PATTERNS[pattern](i % width, Math.floor(i / width), c, i * 3 + c);
    }
    data[i * 4 + 3] = alpha;
  }
  return { width, height, data };
}

/** Grey pixels from a function of their position, opaque unless `alpha` says otherwise. */
function drawn(
  width: number,
  height: number,
  value: (x: number, y: number) => number,
  alpha: (x: number, y: number) => number = () => 255,
): Image {
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) data.fill(value(x, y), i, i + 3).fill(alpha(x, y), i + 3, i + 4);
  }
  return { width, height, data };
}

const rgbOf = ({ data }: Image): Uint8Array => Uint8Array.from(data).filter((_, i) => i % 4 < 3);

test("resizeImage gives Pillow's bytes", () => {
  for (const { pattern, from, to, interpolation, sha256: expected } of someOf(goldens.resize, 12)) {
    const resized = resizeImage(synthetic(pattern, from), ...to, interpolation);
    assert.equal([resized.width, resized.height], to);
    assert.is(sha256(rgbOf(resized)), expected, `${pattern} ${from} -> ${to}, ${interpolation}`);
    assert.ok(resized.data.every((value, i) => i % 4 < 3 || value === 255));
  }
});

test("an image may have its properties from a prototype, as ImageData does", () => {
  const image = synthetic("noise", [40, 30]);
  const inherited: Image = Object.create(image);
  assert.equal(resizeImage(inherited, 17, 19), resizeImage(image, 17, 19));
  assert.equal(preprocess(inherited, IMAGENET), preprocess(image, IMAGENET));
  assert.equal(digitInput(inherited), digitInput(image));
});

test("resizeImage works on clamped arrays and leaves its input alone", () => {
  const image = synthetic("noise", [40, 30]);
  const before = sha256(image.data);
  const clamped = { ...image, data: Uint8ClampedArray.from(image.data) };
  assert.equal(resizeImage(clamped, 17, 19), resizeImage(image, 17, 19));
  assert.is(sha256(image.data), before);
});

test("preprocess gives torchvision's tensors to the bit", () => {
  for (const { pattern, from, resize, crop, channels, sha256: expected } of goldens.preset) {
    const transforms: Transforms =
      channels === 1 ? { resize, crop, mean: [0.5], std: [0.25] } : { ...IMAGENET, resize, crop };
    const input = preprocess(synthetic(pattern, from), transforms, channels);
    assert.is(input.length, channels * crop * crop);
    assert.is(sha256(input), expected, `${pattern} ${from}, resize ${resize}, crop ${crop}`);
  }
});

test("preprocess interpolates as resizeImage does", () => {
  const image = synthetic("noise", [50, 40]);
  const transforms: Transforms = { resize: 24, crop: 24, mean: [0, 0, 0], std: [1, 1, 1], interpolation: "bicubic" };
  const input = preprocess(image, transforms);
  // 30 x 24 pixels, of which the middle is cut out.
  const { data } = resizeImage(image, 30, 24, "bicubic");
  const wanted = input.map(
    (_, i) => data[(Math.floor((i % 576) / 24) * 30 + 3 + (i % 24)) * 4 + Math.floor(i / 576)] / 255,
  );
  assert.equal(input, wanted);
  assert.not.equal(input, preprocess(image, { ...transforms, interpolation: "bilinear" }));
});

test("one grey channel has the mean of the colours' means and deviations", () => {
  const { resize, crop, mean, std } = fitTransforms(IMAGENET, 64, 1);
  assert.equal([resize, crop, mean.length, std.length], [73, 64, 1, 1]);
  assert.ok(Math.abs(mean[0] - 0.449) < 1e-9 && Math.abs(std[0] - 0.226) < 1e-9);
  // Pillow's luma of this colour, (30 * 19595 + 200 * 38470 + 99 * 7471 + 0x8000) >> 16.
  const data = Uint8Array.from({ length: 16 }, (_, i) => [30, 200, 99, 255][i % 4]);
  const grey = preprocess({ width: 2, height: 2, data }, { resize: 2, crop: 2, mean: [0], std: [1] }, 1);
  assert.equal([...grey], Array(4).fill(Math.fround(138 / 255)));
});

test("preprocess drops alpha and does not blend it", () => {
  const opaque = preprocess(synthetic("noise", [31, 41]), IMAGENET);
  assert.equal(preprocess(synthetic("noise", [31, 41], 0), IMAGENET), opaque);
});

test("preprocess takes extreme shapes without their memory", () => {
  const strip = synthetic("noise", [200_000, 1]);
  assert.is(preprocess(strip, IMAGENET).length, 3 * 224 * 224);
});

test("malformed images and senseless options have clear errors", () => {
  const image = synthetic("noise", [4, 3]);
  const throws = (action: () => unknown, kind: typeof ImageError | typeof UsageError, message: RegExp) =>
    assert.throws(action, (error: Error) => error instanceof kind && message.test(error.message));
  throws(() => digitInput({ ...image, width: 0 }), ImageError, /0 x 3 pixels/);
  throws(() => digitInput({ ...image, width: 1.5 }), ImageError, /1.5 x 3 pixels/);
  throws(() => preprocess({ ...image, height: 4 }, IMAGENET), ImageError, /64 bytes of RGBA, not 48/);
  throws(() => resizeImage(image, 0, 5), UsageError, /0 x 5/);
  throws(() => resizeImage(image, 5, Number.NaN), UsageError, /5 x NaN/);
  for (const size of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0, 1.5, 1e9, 2 ** 20 + 1, "5", null, "9".repeat(1e5)]) {
    throws(() => resizeImage(image, size as never, 2), UsageError, /^.{1,250}both must be integers from 1 to 1048576/);
    throws(() => resizeImage(image, 2, size as never), UsageError, /^.{1,250}both must be integers from 1 to 1048576/);
  }
  throws(() => resizeImage(image, 20_000, 20_000), UsageError, /200 megapixels the most in all/);
  throws(() => resizeImage(synthetic("noise", [20, 1000]), 2 ** 20, 2), UsageError, /1048576 x 1000 on the way/);
  throws(() => resizeImage(image, 2, 2, "nearest" as never), UsageError, /"nearest"; it must be bilinear or bicubic/);
  const odd: [unknown, RegExp][] = [
    [new Float32Array(48), /the data of an image is a Float32Array; wanted 48 bytes of RGBA in a Uint8Array/],
    [new Uint16Array(48), /a Uint16Array; wanted/],
    [Array(48).fill(0), /an Array; wanted/],
    [undefined, /undefined; wanted/],
    ["x".repeat(1e6), /^.{1,250}$/],
  ];
  for (const [data, message] of odd) {
    throws(() => preprocess({ ...image, data } as Image, IMAGENET), ImageError, message);
    throws(() => digitInput({ ...image, data } as Image), ImageError, message);
  }
  throws(() => digitInput({ ...image, height: "3".repeat(1e6) as never }), ImageError, /^.{1,250}$/);
  throws(() => preprocess(image, IMAGENET, 2), UsageError, /channels is 2/);
  throws(
    () => preprocess(image, IMAGENET, 4),
    UsageError,
    /1 \(grey\) or 3 \(RGB\) for pictures: give run\(\) elements/,
  );
  throws(() => preprocess(image, { ...IMAGENET, crop: 1e6 }), UsageError, /crop is 1000000; .* 14142 at most/);
  throws(() => preprocess(image, { ...IMAGENET, resize: Number.NaN }), UsageError, /resize is NaN/);
  throws(() => preprocess(image, { ...IMAGENET, mean: 0.5 as never }), UsageError, /mean is 0.5; it must be an array/);
  throws(() => preprocess(image, { ...IMAGENET, mean: [0, Number.NaN, 0] }), UsageError, /mean is an Array/);
  throws(() => preprocess(image, { ...IMAGENET, std: [1, 0, 1] }), UsageError, /positive numbers/);
  throws(() => preprocess(image, { ...IMAGENET, interpolation: "box" as never }), UsageError, /interpolation is "box"/);
  throws(() => preprocess(image, IMAGENET, 1), UsageError, /mean has 3 values for 1 channel/);
  throws(() => preprocess(image, { ...IMAGENET, crop: 0 }), UsageError, /crop is 0/);
});

// Digits. A "6" of straight lines, which any framing shows at once, stands for all of them.

const BACKGROUND = Math.fround(Math.fround(0 - Math.fround(0.1307)) / Math.fround(0.3081));
const INK = Math.fround(Math.fround(1 - Math.fround(0.1307)) / Math.fround(0.3081));

/** 1 on the strokes, `unit` pixels thick, of the "6" with its corner at (left, top), and 0 elsewhere. */
const six =
  (left: number, top: number, unit: number) =>
  (x: number, y: number): number => {
    const column = Math.floor((x - left) / unit);
    const row = Math.floor((y - top) / unit);
    if (column < 0 || column > 4 || row < 0 || row > 8) return 0;
    return column === 0 || row === 8 || (row === 4 && column > 0) || (column === 4 && row > 4) ? 1 : 0;
  };

/** [1, 1, 32, 32] back to 0 (background) to 1 (full ink). */
const inkOf = (input: Float32Array): number[] =>
  Array.from(input, (value) => (value - BACKGROUND) / (INK - BACKGROUND));

function assertClose(actual: Float32Array, expected: Float32Array, tolerance: number, what: string): void {
  const [a, b] = [inkOf(actual), inkOf(expected)];
  const mean = a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
  assert.ok(mean <= tolerance, `${what}: mean difference ${mean.toFixed(4)} of full ink`);
}

const reference = digitInput(drawn(60, 80, (x, y) => 255 * six(18, 15, 5)(x, y)));

test("a digit is framed as MNIST frames it", () => {
  const ink = inkOf(reference);
  assert.is(reference.length, 32 * 32);
  assert.is(Math.min(...ink), 0);
  assert.is(Math.max(...ink), 1);
  const rows = ink.map((value, i) => (value > 0 ? Math.floor(i / 32) : -1)).filter((row) => row >= 0);
  assert.is(Math.max(...rows) - Math.min(...rows) + 1, 20);
  const mass = ink.reduce((sum, value) => sum + value, 0);
  const centre = (coordinate: (i: number) => number) =>
    ink.reduce((sum, value, i) => sum + value * (coordinate(i) + 0.5), 0) / mass;
  assert.ok(Math.abs(centre((i) => i % 32) - 16) <= 0.5);
  assert.ok(Math.abs(centre((i) => Math.floor(i / 32)) - 16) <= 0.5);
});

test("MNIST's own format is taken as it is, whichever its polarity", () => {
  // A gradient of strokes that reach the corner of the centred box; 254 is the peak of one MNIST image in ten.
  const value = (x: number, y: number) => (x > 2 && x < 14 && y > 9 && y < 21 ? 100 + 14 * (x - 2) : 0);
  const light = digitInput(drawn(28, 28, value));
  const dark = digitInput(drawn(28, 28, (x, y) => 255 - value(x, y)));
  const [mean, std] = [Math.fround(0.1307), Math.fround(0.3081)];
  for (let y = 0; y < 32; y++) {
    for (let x = 0; x < 32; x++) {
      const inside = x >= 2 && x < 30 && y >= 2 && y < 30;
      const pixel = inside ? value(x - 2, y - 2) : 0;
      assert.is(light[y * 32 + x], Math.fround(Math.fround(Math.fround(pixel / 255) - mean) / std));
    }
  }
  assert.equal(dark, light);
  const pale = digitInput(drawn(28, 28, (x, y) => 60 + value(x, y) / 4));
  assert.is(Math.max(...inkOf(pale)), 1);
  assertClose(pale, light, 0.02, "pale");
});

test("ground, polarity, size, place and transparency do not matter", () => {
  const share = six(18, 15, 5);
  const at = (x: number, y: number) => share(x, y);
  const variants: Record<string, Image> = {
    "dark on light": drawn(60, 80, (x, y) => 255 - 255 * at(x, y)),
    "grey on grey": drawn(60, 80, (x, y) => 150 - 40 * at(x, y)),
    "chalk on a board": drawn(60, 80, (x, y) => 70 + 120 * at(x, y)),
    "dark strokes on a transparent ground": drawn(
      60,
      80,
      () => 0,
      (x, y) => 255 * at(x, y),
    ),
    "light strokes on a transparent ground": drawn(
      60,
      80,
      () => 255,
      (x, y) => 255 * at(x, y),
    ),
    "half-transparent strokes": drawn(
      60,
      80,
      () => 40,
      (x, y) => 128 * at(x, y),
    ),
    "in a corner": drawn(90, 99, (x, y) => 255 - 255 * six(62, 50, 5)(x, y)),
    "600 x 900": drawn(600, 900, (x, y) => 240 - 200 * six(150, 200, 40)(x, y)),
    "little margin": drawn(29, 49, (x, y) => 255 * six(2, 2, 5)(x, y)),
    "32 x 32": drawn(32, 32, (x, y) => 255 * six(3, 4, 2)(x, y)),
  };
  for (const [what, image] of Object.entries(variants)) assertClose(digitInput(image), reference, 0.03, what);
});

test("shaded, noisy paper is paper", () => {
  const paper = (x: number, y: number) => 200 - x / 20 - y / 45 + (PATTERNS.noise(0, 0, 0, y * 600 + x) % 9) - 4;
  const photo = digitInput(drawn(600, 900, (x, y) => paper(x, y) - 120 * six(150, 200, 40)(x, y)));
  assertClose(photo, reference, 0.05, "photo");
});

test("thin and tiny strokes stay visible", () => {
  const line = digitInput(drawn(600, 900, (x, y) => (x === 300 && y > 100 && y < 800 ? 0 : 255)));
  assert.ok(inkOf(line).filter((ink) => ink > 0.5).length >= 20);
  const tiny = digitInput(drawn(600, 900, (x, y) => 255 - 255 * six(500, 700, 2)(x, y)));
  assertClose(tiny, reference, 0.03, "tiny");
  const outline = (x: number, y: number) => {
    const [column, row] = [x - 100, y - 100];
    const inside = column >= 0 && column < 400 && row >= 0 && row < 700;
    return inside && (column < 3 || row < 3 || column >= 397 || row >= 697) ? 30 : 230;
  };
  assert.is(Math.max(...inkOf(digitInput(drawn(600, 900, outline)))), 1);
});

test("a picture without contrast is background only", () => {
  const background = new Float32Array(32 * 32).fill(BACKGROUND);
  for (const value of [0, 90, 255]) {
    for (const [width, height] of [
      [1, 1],
      [28, 28],
      [32, 32],
      [200, 3],
    ]) {
      assert.equal(digitInput(drawn(width, height, () => value)), background);
    }
  }
  assert.equal(
    digitInput(
      drawn(
        50,
        50,
        () => 255,
        () => 0,
      ),
    ),
    background,
    "fully transparent",
  );
  assert.equal(
    digitInput(drawn(50, 50, (x, y) => 200 + (PATTERNS.noise(0, 0, 0, y * 50 + x) % 9))),
    background,
    "blank paper",
  );
});

test.run();
