import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { PNG } from "pngjs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { IMAGENET } from "../../../engine/image/transforms.ts";
import { augmented, drawsOf, randomCrop } from "../../../engine/training/augmentation.ts";
import {
  FileError,
  type Image,
  ImageError,
  imageFolder,
  lenet5,
  preprocess,
  readImage,
  resizeImage,
  ShapeError,
  UsageError,
} from "../../../index.ts";
import { refuses, small } from "../../harness.ts";

const root = mkdtempSync(join(tmpdir(), "shadenet-folder-"));
test.after(() => rmSync(root, { recursive: true }));

/** A picture no two of whose pixels are the same. */
function picture(width: number, height: number, start = 0): Image {
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) data.set([start + i, (start + i) >> 8, 17 * (start + i)], 4 * i);
  return { width, height, data };
}

/** Makes files in a new folder: pictures, or what is given. */
function folderOf(
  name: string,
  files: readonly string[],
  contents: Readonly<Record<string, Uint8Array | string>> = {},
) {
  const folder = join(root, name);
  [...files, ...Object.keys(contents)].forEach((file, i) => {
    const { width, height, data } = picture(20 + i, 17, 1000 * i);
    const png = new PNG({ width, height });
    png.data = Buffer.from(data);
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), contents[file] ?? PNG.sync.write(png));
  });
  return folder;
}

const flowers = folderOf(
  "flowers",
  [
    "rose/2.png",
    "rose/10.PNG",
    "rose/b/c/1.png",
    "rose/b-c/1.png",
    "Tulip/x.Png",
    "Tulip/notes.txt",
    "aster/1.jpeg.png",
  ],
  { "readme.png": "beside the folders" },
);

test("classes and files are in torchvision's order", async () => {
  symlinkSync(join(flowers, "Tulip"), join(flowers, "linked"), "junction");
  // It leads back to where it is.
  symlinkSync(join(flowers, "rose"), join(flowers, "rose/b/again"), "junction");
  const { size, classes, files, warnings, examples } = await imageFolder(flowers, small);
  assert.equal(classes, ["Tulip", "aster", "linked", "rose"]);
  // What Python has for it, less the link: [path for path, label in torchvision.datasets.ImageFolder("flowers").samples]
  const wanted = ["Tulip/x.Png", "aster/1.jpeg.png", "linked/x.Png", "rose/10.PNG", "rose/2.png", "rose/b-c/1.png"];
  assert.equal(
    files.map((file) => relative(flowers, file).replaceAll("\\", "/")),
    [...wanted, "rose/b/c/1.png"],
  );
  assert.is(size, 7);
  assert.equal(warnings, []);
  assert.equal((await examples([6, 0, 2, 1])).labels, [3, 0, 2, 1]);
});

test("without a key pictures are prepared as for classify()", async () => {
  const { files, examples } = await imageFolder(flowers, small, { batch: 4 });
  const { images } = await examples([3, 0]);
  const transforms = { ...IMAGENET, resize: 14, crop: 12 };
  const wanted = await Promise.all([3, 0].map(async (i) => preprocess(await readImage(files[i]), transforms)));
  assert.equal(images, Float32Array.from(wanted.flatMap((each) => [...each])));

  const own = { resize: 16, crop: 12, mean: [0.1], std: [0.2] };
  const grey = await imageFolder(flowers, small, { inChannels: 1, transforms: own });
  assert.equal((await grey.examples([4])).images, preprocess(await readImage(files[4]), own, 1));
});

test("for training a part of each is drawn from the key and the place, and nothing else", async () => {
  const { files, examples } = await imageFolder(flowers, small);
  const drawn = async (places: readonly number[], key: number) => (await examples(places, key)).images;
  const elements = 3 * 12 * 12;
  for (const key of [0, 1, 2 ** 32 - 1]) {
    const together = await drawn([5, 3, 5], key);
    const image = augmented(await readImage(files[5]), 12, 12, drawsOf(key, 5));
    assert.equal(together.subarray(0, elements), preprocess(image, { ...IMAGENET, resize: 12, crop: 12 }));
    assert.equal(together.subarray(2 * elements), together.subarray(0, elements));
    assert.equal(together.subarray(elements, 2 * elements), await drawn([3], key));
  }
  assert.not.equal(await drawn([5], 0), await drawn([5], 1));
  const still = await imageFolder(flowers, small, { augment: false });
  assert.equal((await still.examples([5], 1)).images, (await examples([5])).images);
});

test("LeNet-5's digits stay as they are, unless it has transforms", async () => {
  const digits = await imageFolder(flowers, "lenet5");
  assert.equal((await digits.examples([1], 3)).images, (await digits.examples([1])).images);
  const transforms = { resize: 32, mean: [0.5], std: [0.5] };
  const grey = await imageFolder(flowers, lenet5, { transforms });
  assert.not.equal((await grey.examples([1], 3)).images, (await grey.examples([1])).images);
});

test("a part is cut out, resized and turned as torchvision does it", () => {
  const image = picture(50, 40);
  let flips = 0;
  for (let place = 0; place < 40; place++) {
    const { left, top, width, height } = randomCrop(image, drawsOf(9, place));
    const data = new Uint8Array(width * height * 4);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < 4; c++) data[4 * (y * width + x) + c] = image.data[4 * ((top + y) * 50 + left + x) + c];
    const { data: plain } = resizeImage({ width, height, data }, 13, 9, "bicubic");
    const turned = plain.map((_, i) => plain[4 * (13 * Math.floor(i / 52) + 12 - (Math.floor(i / 4) % 13)) + (i % 4)]);
    const { data: got, ...size } = augmented(image, 13, 9, drawsOf(9, place), "bicubic");
    assert.equal(size, { width: 13, height: 9 });
    const isTurned = got.join() === turned.join();
    if (isTurned) flips++;
    else assert.equal(got, plain);
  }
  assert.ok(flips > 10 && flips < 30, `${flips} of 40 are turned`);
});

test("the parts have torchvision's areas, ratios and places", () => {
  const [side, rounding] = [1000, 0.01];
  const ratios: number[] = [];
  const areas: number[] = [];
  let [leftmost, rightmost] = [side, 0];
  for (let place = 0; place < 4000; place++) {
    const { left, top, width, height } = randomCrop({ width: side, height: side }, drawsOf(1, place));
    assert.ok(left >= 0 && top >= 0 && left + width <= side && top + height <= side);
    ratios.push(Math.log(width / height));
    areas.push((width * height) / side ** 2);
    leftmost = Math.min(leftmost, left);
    rightmost = Math.max(rightmost, left + width);
  }
  assert.ok(Math.max(...ratios.map(Math.abs)) < Math.log(4 / 3) + rounding);
  assert.ok(Math.min(...areas) > 0.08 - rounding && Math.min(...areas) < 0.08 + rounding);
  assert.ok(leftmost < 5 && rightmost > side - 5);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  assert.ok(Math.abs(mean(ratios)) < rounding, `${mean(ratios)}`);
  // Of areas a over 3/4 only ratios within a and 1 / a fit: the integral of a times the share that fits, over that of the share.
  assert.ok(Math.abs(mean(areas) - 0.4778) < rounding, `${mean(areas)}`);
});

test("where no part fits it is the middle one", () => {
  const cases = [
    [
      { width: 100, height: 2 },
      { left: 48, top: 0, width: 3, height: 2 },
    ],
    [
      { width: 2, height: 100 },
      { left: 0, top: 48, width: 2, height: 3 },
    ],
    [
      { width: 1, height: 1 },
      { left: 0, top: 0, width: 1, height: 1 },
    ],
  ] as const;
  // The largest area, ten times.
  for (const [size, wanted] of cases)
    assert.equal(
      randomCrop(size, () => 1 - 2 ** -32),
      wanted,
    );
  // In the tries, and where a part fits at once, nothing else is drawn.
  const draws = [0.5, 0.5, 0, 0.999];
  const { left, top, width, height } = randomCrop({ width: 100, height: 100 }, () => draws.shift() as number);
  assert.equal([left, top, width, height, draws.length], [27, 0, 73, 73, 0]);
});

const fails = (path: string, message: RegExp, options = {}) =>
  refuses(() => imageFolder(path, small, options), FileError, "FILE", message);

test("folders that are none of pictures", async () => {
  await fails(join(root, "nowhere"), /^cannot read .*nowhere: there is no such file; wanted a folder with a folder of/);
  await fails(join(flowers, "readme.png"), /^cannot read .*readme\.png: .*; wanted a folder with a folder of pictures/);
  await fails(join(flowers, "aster"), /aster has no folders in it; wanted a folder with a folder of pictures for each/);
  const empty = folderOf("empty", ["full/1.png", "void/1.txt", "void/2.gif"]);
  await fails(empty, /empty has folders without pictures: "void"; fill or remove them, .* skipUnreadable: true leaves/);
  const filled = await imageFolder(empty, small, { skipUnreadable: true });
  assert.equal([filled.classes, filled.size], [["full"], 1]);
  assert.equal(filled.warnings, ['left out: the class "void", which has no picture that can be read']);
  const refusesUse = (options: object, message: RegExp) =>
    refuses(() => imageFolder(flowers, small, options), UsageError, "USAGE", message);
  await refusesUse({ skipUnreadable: 1 }, /^skipUnreadable is 1; it must be a boolean$/);
  await refusesUse({ augment: "no" }, /^augment is "no"; it must be a boolean$/);
  await refusesUse({ flip: true }, /^small has no option "flip"; its options are inChannels, /);
  await refuses(() => imageFolder(flowers, "resnet19"), UsageError, "USAGE", /^there is no net "resnet19"/);
  const flat = await imageFolder(flowers, small, { imageSize: [12, 14] });
  for (const key of [undefined, 1])
    await refuses(
      () => flat.examples([0], key),
      ShapeError,
      "SHAPE",
      /prepares no pictures for \[3, 12, 14\]: give a square/,
    );
});

test("files that cannot be read are named, or left out and told of", async () => {
  const png = readFileSync(join(flowers, "rose/2.png"));
  const bad = folderOf("bad", ["cat/1.png", "dog/1.png"], {
    "cat/cut.png": png.subarray(0, 60),
    "cat/old.bmp": "BM\0\0\0\0\0\0\0\0",
    "dog/text.jpg": "no picture",
  });
  symlinkSync("nowhere", join(bad, "dog/lost.png"));
  const { size, examples } = await imageFolder(bad, small);
  assert.is(size, 6);
  const advice = "; the option skipUnreadable: true leaves such files out$";
  for (const [place, name] of [
    [1, "cut\\.png"],
    [2, "old\\.bmp"],
    [5, "text\\.jpg"],
  ] as const)
    await refuses(() => examples([0, place], 1), ImageError, "IMAGE", new RegExp(`${name} is not an image.*${advice}`));
  await refuses(() => examples([4]), FileError, "FILE", new RegExp(`lost\\.png: there is no such file${advice}`));

  const { files, warnings, ...kept } = await imageFolder(bad, small, { skipUnreadable: true });
  assert.equal(files, [join(bad, "cat/1.png"), join(bad, "dog/1.png")]);
  assert.equal((await kept.examples([0, 1])).labels, [0, 1]);
  assert.is(warnings.length, 4);
  for (const [i, name] of ["cut.png", "old.bmp", "lost.png", "text.jpg"].entries())
    assert.match(warnings[i], new RegExp(`^left out: .*${name}`));

  // A class that is left out has no number.
  const some = folderOf("some", ["cat/1.png", "owl/1.png"], { "dog/text.jpg": "no picture" });
  const two = await imageFolder(some, small, { skipUnreadable: true });
  assert.equal(two.classes, ["cat", "owl"]);
  assert.equal((await two.examples([0, 1])).labels, [0, 1]);
  assert.is(two.warnings.length, 2);
  const none = folderOf("none", [], { "dog/text.jpg": "no picture" });
  await fails(none, /none has folders without pictures that can be read: "dog"; wanted/, { skipUnreadable: true });
  const ended = imageFolder(bad, small, { skipUnreadable: true, signal: AbortSignal.abort("enough") });
  assert.is(await ended.catch((reason) => reason), "enough");
});

test.run();
