import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FileError, ImageError } from "../../../engine/ground/errors.ts";
import type { Image } from "../../../engine/image/image.ts";
import { decodeImage, readImage } from "../../../engine/node/decode.ts";

// Everything runs from dist/tests/.
const FOLDER = fileURLToPath(new URL("../../../../tests/goldens/images/", import.meta.url));

interface Golden {
  file: string;
  size: [number, number];
  sha256: string;
}
/** Of 16 bits a sample Pillow keeps the high byte, while pngjs rounds: base64, to be compared with a tolerance. */
interface RoughGolden extends Omit<Golden, "sha256"> {
  rgba: string;
}
const goldens: { png: (Golden | RoughGolden)[]; jpeg: Golden[] } = JSON.parse(
  readFileSync(join(FOLDER, "goldens.json"), "utf8"),
);
const golden = (file: string): Uint8Array => readFileSync(join(FOLDER, file));
const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** What decodeImage says about bytes that it must refuse, checked to be one line that starts with the name. */
function refusal(bytes: Uint8Array): string {
  try {
    decodeImage(bytes, "x.png");
  } catch (error) {
    assert.instance(error, ImageError);
    const { message } = error as ImageError;
    assert.match(message, /^x\.png is not an image that can be read: got .+, wanted .+$/);
    return message;
  }
  return assert.unreachable("an image was decoded that should have been refused") as never;
}

test("PNG: every colour type, depth and interlacing has Pillow's bytes, of 16 bits within 1/255", () => {
  let rough = 0;
  for (const expected of goldens.png) {
    const { file, size } = expected;
    const { width, height, data } = decodeImage(golden(file), file);
    assert.equal([width, height], size, file);
    if ("sha256" in expected) {
      assert.is(sha256(Uint8Array.from(data)), expected.sha256, file);
      continue;
    }
    const wanted = Buffer.from(expected.rgba, "base64");
    assert.is(data.length, wanted.length, file);
    assert.ok(
      data.every((value, i) => Math.abs(value - wanted[i]) <= 1),
      file,
    );
    rough++;
  }
  assert.is(rough, 8);
});

test("PNG: 16 bits are rounded to the nearest of 8", () => {
  const samples = [0, 128, 129, 255, 256, 385, 386, 32767, 32768, 65278, 65279, 65406, 65407, 65535];
  const raw = Buffer.alloc(1 + samples.length * 2);
  samples.forEach((value, i) => {
    raw.writeUInt16BE(value, 1 + i * 2);
  });
  const { data } = decodeImage(png(header(samples.length, 1, 16), pixels(raw), END), "x");
  const wanted = samples.map((value) => Math.round((value * 255) / 65535));
  assert.equal(
    samples.map((_, i) => data[i * 4]),
    wanted,
  );
});

test("JPEG: every kind has Pillow's bytes, both being libjpeg-turbo", () => {
  for (const { file, size, sha256: expected } of goldens.jpeg) {
    const { width, height, data } = decodeImage(golden(file), file);
    assert.equal([width, height], size, file);
    assert.is(sha256(Uint8Array.from(data).filter((_, i) => i % 4 < 3)), expected, file);
    assert.ok(
      data.every((value, i) => i % 4 < 3 || value === 255),
      file,
    );
  }
});

test("a view into a larger buffer is decoded as if it were alone", () => {
  for (const file of ["type6-8bit.png", "420.jpg"]) {
    const bytes = golden(file);
    const larger = new Uint8Array(bytes.length + 20).fill(0xff);
    larger.set(bytes, 7);
    assert.equal(decodeImage(larger.subarray(7, 7 + bytes.length), file), decodeImage(bytes, file));
  }
});

const SIGNATURE = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length);
  framed.set(body, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** Bit by bit, unlike the decoder's. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function header(width: number, height: number, ...[depth = 8, type = 0, interlace = 0]: number[]): Buffer {
  const data = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, depth, type, 0, 0, interlace]);
  data.writeUInt32BE(width);
  data.writeUInt32BE(height, 4);
  return chunk("IHDR", data);
}
const END = chunk("IEND", new Uint8Array());
const pixels = (raw: Uint8Array): Buffer => chunk("IDAT", deflateSync(raw));
const png = (...chunks: Uint8Array[]): Buffer => Buffer.concat([SIGNATURE, ...chunks]);

test("PNG: one transparent colour, compared at full depth, becomes 0, 0, 0, 0", () => {
  const rgba = (...chunks: Uint8Array[]) => Array.from(decodeImage(png(...chunks, END), "x").data);
  const key = chunk("tRNS", Buffer.from([0, 2]));
  const two = rgba(header(4, 1, 2, 0), key, pixels(Buffer.from([0, 0b00_01_10_11])));
  assert.equal(two, [0, 0, 0, 255, 85, 85, 85, 255, 0, 0, 0, 0, 255, 255, 255, 255]);
  const four = rgba(header(2, 1, 4, 0), key, pixels(Buffer.from([0, 0x23])));
  assert.equal(four, [0, 0, 0, 0, 51, 51, 51, 255]);
  const deepKey = chunk("tRNS", Buffer.from([18, 1, 52, 1, 86, 1]));
  const deep = rgba(header(2, 1, 16, 2), deepKey, pixels(Buffer.from([0, 18, 1, 52, 1, 86, 1, 18, 1, 52, 1, 86, 2])));
  assert.equal(deep, [0, 0, 0, 0, 18, 52, 86, 255]);
});

test("PNG: damage of every kind is refused", () => {
  const raw = Buffer.from([0, 10, 20, 0, 30, 40]);
  const whole = png(header(2, 2), pixels(raw), END);
  assert.equal(
    decodeImage(whole, "x").data.filter((_, i) => i % 4 === 0),
    Uint8Array.of(10, 20, 30, 40),
  );

  for (let length = 8; length < whole.length; length++)
    assert.match(refusal(whole.subarray(0, length)), "truncated PNG");
  for (let at = 8; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] ^= 0x10;
    refusal(damaged);
  }
  const misSummed = deflateSync(raw);
  misSummed[misSummed.length - 1] ^= 1;
  const cases: [RegExp, Buffer][] = [
    [/wrong checksum in its IHDR chunk/, Buffer.from(whole).fill(0, 29, 30)],
    [/truncated/, png(header(2, 2), pixels(raw))],
    [/3 bytes of something else after its end/, Buffer.concat([whole, Buffer.from("abc")])],
    [/0 x 2 pixels/, png(header(0, 2), pixels(raw), END)],
    [/2 x 0 pixels/, png(header(2, 0), pixels(raw), END)],
    [/60000 x 60000 pixels, wanted .* 200 megapixels/, png(header(60_000, 60_000), pixels(raw), END)],
    [/4294967295 x 4294967295 pixels/, png(header(2 ** 32 - 1, 2 ** 32 - 1, 1), pixels(raw), END)],
    [/too few pixels/, png(header(2, 3), pixels(raw), END)],
    [/too few pixels/, png(header(2, 3, 8, 0, 1), pixels(raw), END)],
    [/too many pixels/, png(header(2, 1), pixels(raw), END)],
    [/damaged pixels \(unexpected end/, png(header(2, 2), chunk("IDAT", deflateSync(raw).subarray(0, -3)), END)],
    [/damaged pixels \(incorrect header/, png(header(2, 2), chunk("IDAT", raw), END)],
    [/damaged pixels \(incorrect data check/, png(header(2, 2), chunk("IDAT", misSummed), END)],
    [/filter type - 5/, png(header(2, 2), pixels(Buffer.from([5, 1, 2, 0, 3, 4])), END)],
    [/without pixels/, png(header(2, 2), END)],
    [/palette not found/, png(header(2, 2, 8, 3), pixels(raw), END)],
    [/index 40 not in palette/, png(header(2, 2, 8, 3), chunk("PLTE", new Uint8Array(40 * 3)), pixels(raw), END)],
    [/fails to decode/, png(header(2, 2, 8, 3), chunk("tRNS", raw), chunk("PLTE", raw), pixels(raw), END)],
    [/fails to decode/, png(header(2, 2), chunk("tRNS", Buffer.from([1])), pixels(raw), END)],
    [/colour type 2 with 4 bits/, png(header(2, 2, 4, 2), pixels(raw), END)],
    [/colour type 5/, png(header(2, 2, 8, 5), pixels(raw), END)],
    [/damaged header/, png(header(2, 2, 8, 0, 2), pixels(raw), END)],
    [/start with one IHDR/, png(pixels(raw), END)],
    [/start with one IHDR/, png(header(2, 2), header(2, 2), pixels(raw), END)],
    [/unknown critical chunk, ABCD/, png(header(2, 2), chunk("ABCD", raw), pixels(raw), END)],
    [/damaged signature/, Buffer.concat([Buffer.from("\x89PNG\n\x1a\n", "latin1"), whole.subarray(8)])],
  ];
  for (const [message, bytes] of cases) assert.match(refusal(bytes), message);
});

test("PNG: a file that unpacks to far more than its pixels is refused", () => {
  const bomb = deflateSync(new Uint8Array(64 * 2 ** 20), { level: 9 });
  for (const interlace of [0, 1]) {
    assert.match(refusal(png(header(2, 2, 8, 0, interlace), chunk("IDAT", bomb), END)), "too many pixels");
  }
});

test("JPEG: damage of every kind is refused", () => {
  const whole = golden("420.jpg");
  for (let length = 2; length < whole.length; length++) {
    assert.match(refusal(whole.subarray(0, length)), "truncated JPEG");
  }
  const sof = Buffer.from(whole).indexOf(Buffer.from([0xff, 0xc0]));
  const patched = (at: number, ...bytes: number[]): Buffer => {
    const copy = Buffer.from(whole);
    copy.set(bytes, at);
    return copy;
  };
  const cases: [RegExp, Uint8Array][] = [
    [/truncated/, Buffer.from([0xff, 0xd8, 0xff])],
    [/without pixels/, Buffer.from([0xff, 0xd8, 0xff, 0xd9])],
    [/60000 x 60000 pixels, wanted .* 200 megapixels/, patched(sof + 5, 0xea, 0x60, 0xea, 0x60)],
    [/fails to decode \(.*a rare kind of JPEG\)/, patched(sof + 5, 255, 255, 255, 255)],
    [/fails to decode \(.*a rare kind of JPEG\)/, patched(sof + 5, 0, 0)],
    [/fails to decode \(.*a rare kind of JPEG\)/, patched(sof + 7, 0, 0)],
    [/fails to decode \(.*a rare kind of JPEG\)/, patched(sof + 4, 12)],
    [/fails to decode \(.*a rare kind of JPEG\)/, patched(sof + 1, 0xc3)],
    [/fails to decode \(.*a rare kind of JPEG\)/, patched(sof + 9, 2)],
    [/110 scans of all its pixels, wanted at most 100/, manyScans(golden("progressive.jpg"))],
  ];
  for (const [message, bytes] of cases) assert.match(refusal(bytes), message);
  assert.is(decodeImage(whole, "x").width, 53, "and the next file decodes");
});

/** The last scan, again and again. */
function manyScans(bytes: Uint8Array): Buffer {
  const file = Buffer.from(bytes);
  const scan = file.subarray(file.lastIndexOf(Buffer.from([0xff, 0xda])), -2);
  return Buffer.concat([file.subarray(0, -2), ...new Array(100).fill(scan), file.subarray(-2)]);
}

test("what is no PNG or JPEG is named", () => {
  const named: [string, string | Uint8Array][] = [
    ["an empty file", ""],
    ["a text file", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
    ["a text file", "<!doctype html><title>404</title>"],
    ["a GIF", "GIF89a\x01\0\x01\0"],
    ["a WebP", "RIFF\x24\0\0\0WEBPVP8 "],
    ["an AVIF", "\0\0\0\x20ftypavif"],
    ["a HEIC", "\0\0\0\x18ftypheic"],
    ["a BMP", "BM\x46\0\0\0\0\0\0\0"],
    ["a TIFF", "II*\0\x08\0\0\0"],
    ["a PDF", "%PDF-1.7\n\0"],
    ["an unknown format", "\0\x01\x02\x03"],
  ];
  for (const [what, bytes] of named) {
    const message = refusal(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    assert.match(message, `got ${what}, wanted a sound PNG or JPEG`);
  }
});

/** A generator of integers below n: the fuzzing is the same in every run. */
function seeded(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** A few bytes changed, cut out, doubled or appended. */
function mutate(bytes: Uint8Array, random: (n: number) => number): Buffer {
  let mutant = Buffer.from(bytes);
  for (let rounds = 1 + random(4); rounds > 0; rounds--) {
    // Half of the damage goes to the headers.
    const at = random(random(2) ? mutant.length : Math.min(mutant.length, 64));
    const length = 1 + random(8);
    const [before, part, after] = [
      mutant.subarray(0, at),
      mutant.subarray(at, at + length),
      mutant.subarray(at + length),
    ];
    const kind = random(8);
    if (kind < 3) mutant[at] = random(256);
    else if (kind < 5) mutant[at] ^= 1 << random(8);
    else if (kind === 5) mutant = Buffer.concat([before, after]);
    else if (kind === 6) mutant = Buffer.concat([before, part, part, after]);
    else mutant = Buffer.concat([before, Buffer.from([255, 255, random(256), random(256)]), after]);
    if (mutant.length === 0) break;
  }
  return mutant;
}

/** A PNG with the right checksums again, so that the damage reaches what lies behind them. */
function mended(mutant: Buffer): Buffer {
  for (let at = 8; at + 12 <= mutant.length; ) {
    const end = at + 8 + mutant.readUInt32BE(at);
    if (end + 4 > mutant.length) break;
    mutant.writeUInt32BE(crc32(mutant.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return mutant;
}

test("5,000 mutants, or as many as the environment's FUZZ says, give an image or an ImageError", () => {
  const random = seeded(1);
  const files = readdirSync(FOLDER).filter((file) => /\.(png|jpg)$/.test(file));
  const count = Number(process.env.FUZZ ?? 5000);
  const outcomes = { images: 0, errors: 0 };
  for (let i = 0; i < count; i++) {
    const file = files[random(files.length)];
    let mutant = mutate(golden(file), random);
    if (file.endsWith(".png") && random(4) > 0) mutant = mended(mutant);
    let image: Image;
    try {
      image = decodeImage(mutant, file);
    } catch (error) {
      if (!(error instanceof ImageError)) throw new Error(`mutant ${i} of ${file}`, { cause: error });
      assert.not.match(error.message, "\n");
      outcomes.errors++;
      continue;
    }
    assert.is(image.data.length, image.width * image.height * 4, `mutant ${i} of ${file}`);
    outcomes.images++;
  }
  assert.ok(outcomes.images > count / 20 && outcomes.errors > count / 20, JSON.stringify(outcomes));
});

const folder = mkdtempSync(join(tmpdir(), "shadenet-decode-"));
test.after(() => rmSync(folder, { recursive: true }));

test("readImage reads what decodeImage decodes", async () => {
  const path = join(FOLDER, "420.jpg");
  assert.equal(await readImage(path), decodeImage(readFileSync(path), path));
});

test("readImage: what cannot be read has a clear FileError", async () => {
  const secret = join(folder, "secret.png");
  writeFileSync(secret, golden("type0-8bit.png"));
  chmodSync(secret, 0);
  const large = join(folder, "large.png");
  writeFileSync(large, SIGNATURE);
  truncateSync(large, 256 * 2 ** 20 + 1);
  const cases: [string, RegExp][] = [
    [join(folder, "missing.png"), /^cannot read .*missing\.png: there is no such file$/],
    [folder, /^cannot read .*: it is a folder$/],
    [large, /large\.png is too large for an image: it has more than 256 MiB$/],
    ["a\0b", /^cannot read /],
  ];
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && process.platform !== "win32") cases.push([secret, /it may not be read \(permission denied\)$/]);
  for (const [path, message] of cases) {
    try {
      await readImage(path);
    } catch (error) {
      assert.instance(error, FileError);
      assert.match((error as Error).message, message);
      continue;
    }
    assert.unreachable(`${path} was read`);
  }
});

test.run();
