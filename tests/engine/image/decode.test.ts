import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { deflateSync } from "node:zlib";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { FileError, ImageError, UsageError } from "../../../engine/ground/errors.ts";
import type { Image } from "../../../engine/image/image.ts";
import { decodeImage, readImage } from "../../../engine/node/decode.ts";
import { int, pick, refuses, rounds, someOf } from "../../harness.ts";

// Everything runs from dist/tests/.
const FOLDER = fileURLToPath(new URL("../../../../tests/goldens/images/", import.meta.url));

interface Golden {
  file: string;
  size: [number, number];
  sha256: string;
}
interface Goldens {
  png: Golden[];
  jpeg: Golden[];
  webp: Golden[];
  /** A WebP of 3 x 2 pixels that wants to be turned, in base64, and what Pillow's exif_transpose() makes of it. */
  orientation: { value: number; file: string; size: [number, number]; rgb: number[] }[];
}
const goldens: Goldens = JSON.parse(readFileSync(join(FOLDER, "goldens.json"), "utf8"));
const golden = (file: string): Uint8Array => readFileSync(join(FOLDER, file));
const sha256 = (data: Image["data"]): string => createHash("sha256").update(data).digest("hex");

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

const rgbOf = (data: Image["data"]): Uint8Array => Uint8Array.from(data).filter((_, i) => i % 4 < 3);

test("every kind of PNG, JPEG and WebP has Pillow's bytes", () => {
  assert.equal([goldens.png.length, goldens.jpeg.length, goldens.webp.length], [43, 15, 4]);
  for (const { file, size, sha256: expected } of [...goldens.png, ...goldens.jpeg, ...goldens.webp]) {
    const { width, height, data } = decodeImage(golden(file), file);
    assert.equal([width, height], size, file);
    assert.is(sha256(rgbOf(data)), expected, file);
    if (file.endsWith("jpg")) assert.ok(data.every((value, i) => i % 4 < 3 || value === 255));
  }
});

test("PNG: of 16 bits the high byte counts", () => {
  const samples = [0, 128, 129, 255, 256, 385, 386, 32767, 32768, 65278, 65279, 65406, 65407, 65535];
  const raw = Buffer.alloc(1 + samples.length * 2);
  samples.forEach((value, i) => {
    raw.writeUInt16BE(value, 1 + i * 2);
  });
  const { data } = decodeImage(png(header(samples.length, 1, 16), pixels(raw), END), "x");
  assert.equal(
    samples.map((_, i) => data[i * 4]),
    samples.map((value) => value >> 8),
  );
});

test("a photo is turned when that is asked for, as Pillow's exif_transpose() turns it", () => {
  for (const { value, file, size, rgb } of goldens.orientation) {
    const bytes = Buffer.from(file, "base64");
    const { width, height, data } = decodeImage(bytes, "x", { orientation: "exif" });
    assert.equal([width, height, [...rgbOf(data)]], [...size, rgb], `orientation ${value}`);
    const asStored = decodeImage(bytes, "x");
    assert.equal([asStored.width, asStored.height], [3, 2]);
    assert.equal(decodeImage(bytes, "x", { orientation: "none" }), asStored);
  }
  const rotated = golden("exif-rotated.jpg");
  assert.equal([decodeImage(rotated, "x").width, decodeImage(rotated, "x", { orientation: "exif" }).width], [53, 37]);
  const little = jpegWithExif((tiff) => {
    tiff.write("II*\0", 0, "latin1");
    tiff.writeUInt32LE(8, 4);
    tiff.writeUInt16LE(1, 8);
    tiff.writeUInt16LE(0x0112, 10);
    tiff.writeUInt16LE(3, 12);
    tiff.writeUInt32LE(1, 14);
    tiff.writeUInt16LE(8, 18);
  });
  assert.is(decodeImage(little, "x", { orientation: "exif" }).width, 37);
  assert.throws(
    () => decodeImage(rotated, "x", { orientation: "left" as never }),
    (error: Error) =>
      error instanceof UsageError && /orientation is "left"; it must be none or exif/.test(error.message),
  );
});

/** 420.jpg with an EXIF segment whose TIFF part is what a function writes. */
function jpegWithExif(write: (tiff: Buffer) => void): Buffer {
  const segment = Buffer.alloc(2 + 8 + 32);
  segment.writeUInt16BE(0xffe1);
  segment.writeUInt16BE(segment.length - 2, 2);
  segment.write("Exif\0\0", 4, "latin1");
  write(segment.subarray(10));
  const file = Buffer.from(golden("420.jpg"));
  return Buffer.concat([file.subarray(0, 2), segment, file.subarray(2)]);
}

test("an EXIF that is odd or cut off turns nothing", () => {
  const upright = decodeImage(golden("420.jpg"), "x");
  const odd: ((tiff: Buffer) => void)[] = [
    () => {},
    (tiff) => tiff.fill(255),
    (tiff) => tiff.write("MM\0*\xff\xff\xff\xff", 0, "latin1"),
    // 65,535 entries, and the number 9.
    (tiff) => tiff.write("MM\0*\0\0\0\x08\xff\xff", 0, "latin1"),
    (tiff) => tiff.write("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09", 0, "latin1"),
  ];
  for (const write of odd) assert.equal(decodeImage(jpegWithExif(write), "x", { orientation: "exif" }), upright);
});

test("a view into a larger buffer is decoded as if it were alone", () => {
  for (const file of ["type6-8bit.png", "420.jpg", "alpha.webp"]) {
    const bytes = golden(file);
    const larger = new Uint8Array(bytes.length + 20).fill(0xff);
    larger.set(bytes, 7);
    assert.equal(decodeImage(larger.subarray(7, 7 + bytes.length), file), decodeImage(bytes, file));
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    assert.equal(decodeImage(shared, file), decodeImage(bytes, file));
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

const decoded = (...chunks: Uint8Array[]): number[] => [...decodeImage(png(...chunks, END), "x").data];

test("PNG: one transparent colour, compared at full depth, keeps its colour and has no alpha", () => {
  const key = chunk("tRNS", Buffer.from([0, 2]));
  const two = decoded(header(4, 1, 2, 0), key, pixels(Buffer.from([0, 0b00_01_10_11])));
  assert.equal(two, [0, 0, 0, 255, 85, 85, 85, 255, 170, 170, 170, 0, 255, 255, 255, 255]);
  const four = decoded(header(2, 1, 4, 0), key, pixels(Buffer.from([0, 0x23])));
  assert.equal(four, [34, 34, 34, 0, 51, 51, 51, 255]);
  const white = chunk("tRNS", Buffer.from([0, 255, 0, 255, 0, 255]));
  const eight = decoded(header(2, 1, 8, 2), white, pixels(Buffer.from([0, 255, 255, 255, 1, 2, 3])));
  assert.equal(eight, [255, 255, 255, 0, 1, 2, 3, 255]);
  const deepKey = chunk("tRNS", Buffer.from([18, 1, 52, 1, 86, 1]));
  const deep = decoded(
    header(2, 1, 16, 2),
    deepKey,
    pixels(Buffer.from([0, 18, 1, 52, 1, 86, 1, 18, 1, 52, 1, 86, 2])),
  );
  assert.equal(deep, [18, 52, 86, 0, 18, 52, 86, 255]);
});

// What follows is Pillow's own verdict on every one of these files.

test("PNG: what Pillow reads of odd files is read", () => {
  const raw = Buffer.from([0, 7, 1]);
  const plain = [header(2, 1), pixels(raw)];
  const whole = png(...plain, END);
  const end = whole.length - END.length;
  const sevenOne = [7, 7, 7, 255, 1, 1, 1, 255];
  const of = (bytes: Uint8Array) => [...decodeImage(bytes, "x").data];
  const odd: Record<string, Uint8Array> = {
    "bytes after the end": Buffer.concat([whole, Buffer.from("abcdef")]),
    "pixels after the last": png(header(2, 1), pixels(Buffer.from([0, 7, 1, 0, 0, 0, 0])), END),
    "bytes after the compressed ones": png(header(2, 1), chunk("IDAT", Buffer.concat([deflateSync(raw), raw])), END),
    "no end": whole.subarray(0, end),
    "half an end": whole.subarray(0, end + 6),
    "no checksum of the compressed pixels": png(header(2, 1), chunk("IDAT", deflateSync(raw).subarray(0, -4)), END),
    "a wrong checksum of the chunk of pixels": Buffer.from(whole).fill(0, end - 4, end),
    "nothing behind the pixels, not even that": whole.subarray(0, end - 4),
    "a damaged chunk after the pixels": png(...plain, Buffer.from("\0\0\0\x09a\x01CDabc", "latin1")),
    "an unknown critical chunk": png(header(2, 1), chunk("ABCD", raw), pixels(raw), END),
    "two headers": png(header(5, 5, 1), ...plain, END),
  };
  for (const [what, bytes] of Object.entries(odd)) assert.equal(of(bytes), sevenOne, what);

  const short = Buffer.from([1, 2, 3, 4, 5, 6, 7]);
  const rows = [1, 2, 3, 255, 4, 5, 6, 255, 0, 0, 0, 255];
  const row = pixels(Buffer.from([0, 0, 1, 5]));
  assert.equal(decoded(header(3, 1, 8, 3), chunk("PLTE", short), row), rows, "colours beyond the palette");
  assert.equal(
    decoded(header(3, 1, 8, 3), row, chunk("PLTE", short)),
    Array.from(rows, (_, i) => (i % 4 < 3 ? 0 : 255)),
  );
  const few = decoded(header(2, 2, 8, 3), chunk("PLTE", short), pixels(Buffer.from([0, 1, 1])));
  assert.equal(few, [4, 5, 6, 255, 4, 5, 6, 255, 1, 2, 3, 255, 1, 2, 3, 255], "rows that were never written");
});

test("PNG: damage that Pillow refuses is refused", () => {
  const raw = Buffer.from([0, 10, 20, 0, 30, 40]);
  const whole = png(header(2, 2), pixels(raw), END);
  assert.equal(
    decodeImage(whole, "x").data.filter((_, i) => i % 4 === 0),
    Uint8Array.of(10, 20, 30, 40),
  );

  // Behind the pixels come a code that says so, the checksums of zlib and of the chunk, and the end.
  const needed = whole.length - END.length - 9;
  for (let length = 8; length < needed; length++) assert.match(refusal(whole.subarray(0, length)), "truncated PNG");
  for (let length = needed; length < whole.length; length++) decodeImage(whole.subarray(0, length), "x");
  for (let at = 0; at < 41; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] ^= 0x10;
    // The type of the pixels' chunk counts, but not its length nor its checksum.
    if (at < 33 || at > 36) refusal(damaged);
  }
  const misSummed = deflateSync(raw);
  misSummed[misSummed.length - 1] ^= 1;
  const compressed = deflateSync(raw);
  const note = chunk("tEXt", Buffer.from("a\0b"));
  const cases: [RegExp, Buffer][] = [
    [/wrong checksum in its IHDR chunk/, Buffer.from(whole).fill(0, 29, 30)],
    [
      /wrong checksum in its tEXt chunk/,
      png(header(2, 2), Buffer.from(note).fill(0, note.length - 4), pixels(raw), END),
    ],
    [/truncated/, png(header(2, 2), pixels(raw), note.subarray(0, -5))],
    [
      /truncated/,
      png(header(2, 2), chunk("IDAT", compressed.subarray(0, 4)), note, chunk("IDAT", compressed.subarray(4))),
    ],
    [/0 x 2 pixels/, png(header(0, 2), pixels(raw), END)],
    [/2 x 0 pixels/, png(header(2, 0), pixels(raw), END)],
    [/60000 x 60000 pixels, wanted .* 200 megapixels/, png(header(60_000, 60_000), pixels(raw), END)],
    [/2 x 5000000 pixels, wanted up to 1000000 rows/, png(header(2, 5_000_000), pixels(raw), END)],
    [/4294967295 x 4294967295 pixels/, png(header(2 ** 32 - 1, 2 ** 32 - 1, 1), pixels(raw), END)],
    [/truncated/, png(header(2, 2), pixels(raw.subarray(0, 5)), END)],
    [/truncated/, png(header(3, 2, 8, 0, 1), pixels(raw.subarray(0, 5)), END)],
    [/truncated/, png(header(2, 2), chunk("IDAT", compressed.subarray(0, -7)), END)],
    [/damaged pixels \(incorrect header/, png(header(2, 2), chunk("IDAT", raw), END)],
    [/damaged pixels \(incorrect data check/, png(header(2, 2), chunk("IDAT", misSummed), END)],
    [/damaged pixels \(.*filter/, png(header(2, 2), pixels(Buffer.from([5, 1, 2, 0, 3, 4])), END)],
    [/without pixels/, png(header(2, 2), END)],
    [/without a header/, png(pixels(raw), END)],
    [/damaged tRNS/, png(header(2, 2), chunk("tRNS", Buffer.from([1])), pixels(raw), END)],
    [/damaged tRNS/, png(header(2, 2, 8, 2), chunk("tRNS", Buffer.from([1, 2])), pixels(raw), END)],
    [/colour type 2 with 4 bits/, png(header(2, 2, 4, 2), pixels(raw), END)],
    [/colour type 5/, png(header(2, 2, 8, 5), pixels(raw), END)],
    [/damaged header/, png(chunk("IHDR", Buffer.alloc(12)), pixels(raw), END)],
    [/damaged chunk/, png(header(2, 2), chunk("ab\x01c", raw), pixels(raw), END)],
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

/** 420.jpg, a single scan, or another one, with bytes in place of `length` others at an offset. */
function spliced(at: number, length: number, bytes: readonly number[], file = golden("420.jpg")): Buffer {
  const rest = at < 0 ? file.length + at : at;
  return Buffer.concat([file.subarray(0, rest), Buffer.from(bytes), file.subarray(rest + length)]);
}

test("JPEG: what Pillow reads of odd files is read", () => {
  for (const file of ["420.jpg", "grey.jpg", "progressive.jpg"]) {
    const bytes = golden(file);
    const expected = sha256(decodeImage(bytes, "x").data);
    const sos = Buffer.from(bytes).indexOf(Buffer.from([0xff, 0xda]));
    const odd: Record<string, Buffer> = {
      "a restart before the scan": spliced(sos, 0, [0xff, 0xd0], bytes),
      "a restart at the start": spliced(2, 0, [0xff, 0xd0], bytes),
      "fill bytes": spliced(sos, 0, [0xff, 0xff, 0xff], bytes),
      "an escaped byte": spliced(2, 0, [0xff, 0x00], bytes),
      "what is no marker between segments": spliced(sos, 0, [1, 2, 3], bytes),
      "a comment without its length": spliced(sos, 0, [0xff, 0xfe, 0, 1], bytes),
    };
    if (file !== "progressive.jpg") {
      odd["zeros in place of the end"] = spliced(-2, 2, Array(100).fill(0), bytes);
      odd["another marker in place of the end"] = spliced(-2, 2, [0xff, 0xfe, 0, 2, 0xff, 0xd9], bytes);
    }
    for (const [what, mutant] of Object.entries(odd)) {
      assert.is(sha256(decodeImage(mutant, "x").data), expected, `${file}: ${what}`);
    }
  }
  // The rest of a scan with a marker in its middle is made up, in the same way.
  const stray = spliced(900, 0, [0xff, 0xd3]);
  assert.is(sha256(rgbOf(decodeImage(stray, "x").data)), STRAY);
});

/** Pillow's pixels of 420.jpg with a restart marker at byte 900. */
const STRAY = "7931d226a678e7452e3b599dfa029a37ab73fb631807a3d2fa6cb34faad99f03";

test("JPEG: damage that Pillow refuses is refused", () => {
  for (const file of someOf(["420.jpg", "444.jpg", "progressive.jpg", "cmyk.jpg"], 1)) {
    const whole = golden(file);
    for (let length = 2; length < whole.length; length += length < 700 ? 1 : 7) {
      assert.match(refusal(whole.subarray(0, length)), /truncated JPEG|damaged signature/, `${file} ${length}`);
    }
    refusal(whole.subarray(0, -1));
  }
  const whole = golden("420.jpg");
  const sof = Buffer.from(whole).indexOf(Buffer.from([0xff, 0xc0]));
  const patched = (at: number, ...bytes: number[]): Buffer => spliced(at, bytes.length, bytes);
  const cases: [RegExp, Uint8Array][] = [
    [/truncated/, Buffer.from([0xff, 0xd8, 0xff])],
    [/damaged signature/, spliced(2, 0, [1, 2, 3])],
    [/unknown marker \(1\)/, spliced(2, 0, [0xff, 0x01])],
    [/unknown marker \(191\)/, spliced(2, 0, [0xff, 0xbf, 0, 4, 1, 2])],
    [/fails to decode/, spliced(2, 0, [0xff, 0xd8])],
    [/fails to decode/, spliced(2, 0, [0xff, 0xf0, 0, 4, 1, 2])],
    [/fails to decode/, spliced(900, 0, [0xff, 0xc8, 0, 2])],
    [/without pixels/, Buffer.from([0xff, 0xd8, 0xff, 0xd9])],
    [/truncated/, spliced(-2, 2, Array(100).fill(0), golden("progressive.jpg"))],
    [/60000 x 60000 pixels, wanted .* 200 megapixels/, patched(sof + 5, 0xea, 0x60, 0xea, 0x60)],
    [/fails to decode \(.*a rare kind of file\)/, patched(sof + 5, 255, 255, 255, 255)],
    [/fails to decode \(.*a rare kind of file\)/, patched(sof + 5, 0, 0)],
    [/fails to decode \(.*a rare kind of file\)/, patched(sof + 7, 0, 0)],
    [/fails to decode \(.*a rare kind of file\)/, patched(sof + 4, 12)],
    [/fails to decode \(.*a rare kind of file\)/, patched(sof + 1, 0xc3)],
    [/fails to decode \(.*a rare kind of file\)/, patched(sof + 9, 2)],
    [/110 scans of all its pixels, wanted at most 100/, manyScans(golden("progressive.jpg"))],
  ];
  for (const [message, bytes] of cases) assert.match(refusal(bytes), message);
  assert.is(decodeImage(whole, "x").width, 53, "and the next file decodes");
});

test("WebP: alpha is beside the colours; what is animated, cut off or too large is refused", () => {
  const { data } = decodeImage(golden("alpha-lossless.webp"), "x");
  assert.equal([...new Set(data.filter((_, i) => i % 4 === 3))].sort(), [210, 40]);
  const whole = golden("lossy.webp");
  for (let length = 12; length < whole.length; length += 7)
    assert.match(refusal(whole.subarray(0, length)), /truncated/);
  assert.equal(decodeImage(Buffer.concat([whole, Buffer.from("abc")]), "x"), decodeImage(whole, "x"));
  const riff = (...parts: [string, Uint8Array][]): Buffer => {
    const chunks = parts.map(([type, body]) => {
      const head = Buffer.from(`${type}\0\0\0\0`, "latin1");
      head.writeUInt32LE(body.length, 4);
      return Buffer.concat([head, body]);
    });
    const file = Buffer.concat([Buffer.from("RIFF\0\0\0\0WEBP", "latin1"), ...chunks]);
    file.writeUInt32LE(file.length - 8, 4);
    return file;
  };
  assert.match(
    refusal(riff(["VP8X", Uint8Array.of(2, 0, 0, 0, 9, 0, 0, 9, 0, 0)])),
    /an animated WebP, wanted a still/,
  );
  const huge = riff(["VP8X", Uint8Array.of(0, 0, 0, 0, 255, 255, 255, 255, 255, 255)]);
  assert.match(refusal(huge), /16777216 x 16777216 pixels/);
  assert.match(refusal(riff(["VP8L", Uint8Array.of(0x2f, 255, 255, 255, 15, 0, 0, 0, 0, 0)])), /16384 x 16384 pixels/);
  const damaged = Buffer.from(golden("lossless.webp"));
  damaged.fill(0, 40, 90);
  assert.match(refusal(damaged), /a WebP that is damaged/);
});

/** The last scan, again and again. */
function manyScans(bytes: Uint8Array): Buffer {
  const file = Buffer.from(bytes);
  const scan = file.subarray(file.lastIndexOf(Buffer.from([0xff, 0xda])), -2);
  return Buffer.concat([file.subarray(0, -2), ...new Array(100).fill(scan), file.subarray(-2)]);
}

test("what is no PNG, JPEG or WebP is named", () => {
  const named: [string, string | Uint8Array][] = [
    ["an empty file", ""],
    ["a text file", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"],
    ["a text file", "<!doctype html><title>404</title>"],
    ["a GIF", "GIF89a\x01\0\x01\0"],
    ["an AVIF", "\0\0\0\x20ftypavif"],
    ["a HEIC", "\0\0\0\x18ftypheic"],
    ["a BMP", "BM\x46\0\0\0\0\0\0\0"],
    ["a TIFF", "II*\0\x08\0\0\0"],
    ["a PDF", "%PDF-1.7\n\0"],
    ["an unknown format", "\0\x01\x02\x03"],
  ];
  for (const [what, bytes] of named) {
    const message = refusal(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
    assert.match(message, `got ${what}, wanted a sound PNG, JPEG or WebP`);
  }
});

/** A few bytes changed, cut out, doubled or appended. */
function mutate(bytes: Uint8Array): Buffer {
  let mutant = Buffer.from(bytes);
  for (let changes = int(1, 4); changes > 0; changes--) {
    // Half of the damage goes to the headers.
    const at = int(0, pick(mutant.length, Math.min(mutant.length, 64)) - 1);
    const length = int(1, 8);
    const [before, part, after] = [
      mutant.subarray(0, at),
      mutant.subarray(at, at + length),
      mutant.subarray(at + length),
    ];
    const kind = int(0, 7);
    if (kind < 3) mutant[at] = int(0, 255);
    else if (kind < 5) mutant[at] ^= 1 << int(0, 7);
    else if (kind === 5) mutant = Buffer.concat([before, after]);
    else if (kind === 6) mutant = Buffer.concat([before, part, part, after]);
    else mutant = Buffer.concat([before, Buffer.from([255, 255, int(0, 255), int(0, 255)]), after]);
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

// 5,000 in a deep run, or as many as the environment's FUZZ says.
test("mutants give an image or an ImageError", () => {
  const files = readdirSync(FOLDER).filter((file) => /\.(png|jpg|webp)$/.test(file));
  const count = Number(process.env.FUZZ ?? rounds(5000, 400));
  const outcomes = { images: 0, errors: 0 };
  for (let i = 0; i < count; i++) {
    const file = pick(...files);
    let mutant = mutate(golden(file));
    if (file.endsWith(".png") && int(0, 3) > 0) mutant = mended(mutant);
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

/** readImage() of a location in a process of its own, with a file piped into it. */
const readPiped = (location: string, file: string): Buffer => {
  const module = new URL("../../../engine/node/decode.js", import.meta.url);
  const program = `import { readImage } from ${JSON.stringify(module)};
    const { width, height, data } = await readImage(${JSON.stringify(location)});
    process.stdout.write(Buffer.from([width, height, ...data]));`;
  return execFileSync(process.execPath, ["--input-type=module", "--eval", program], { input: golden(file) });
};

test("readImage reads file: URLs, pipes and web addresses", async () => {
  const path = join(FOLDER, "420.jpg");
  const image = decodeImage(readFileSync(path), path);
  const url = pathToFileURL(path);
  assert.equal(await readImage(url), image);
  assert.equal(await readImage(url.href), image);
  const wanted = Buffer.from([image.width, image.height, ...image.data]);
  for (const pipe of someOf(["-", "/dev/stdin"], 1)) assert.equal(readPiped(pipe, "420.jpg"), wanted);

  const endless = { closed: false };
  const server = createServer((request, response) => {
    if (request.url === "/420.jpg") response.end(readFileSync(path));
    else if (request.url === "/page") response.end("<!doctype html><title>login</title>");
    else if (request.url === "/endless") {
      const chunk = Buffer.alloc(2 ** 20, 255);
      const send = () => {
        if (!response.destroyed && response.write(chunk)) setImmediate(send);
      };
      response.on("drain", send).on("close", () => {
        endless.closed = true;
      });
      send();
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    assert.equal(await readImage(`${origin}/420.jpg`), image);
    assert.equal(await readImage(new URL(`${origin}/420.jpg`)), image);
    await refuses(() => readImage(`${origin}/none`), FileError, "FILE", /the server answered 404 Not Found$/);
    await refuses(() => readImage(`${origin}/page`), ImageError, "IMAGE", /got a text file, wanted a sound PNG/);
    await refuses(() => readImage(`${origin}/endless`), FileError, "FILE", /it has more than 256 MiB$/);
    while (!endless.closed) await new Promise((resolve) => setTimeout(resolve, 5));
    const controller = new AbortController();
    const reading = readImage(`${origin}/endless`, { signal: controller.signal });
    setTimeout(() => controller.abort(new RangeError("enough")), 20);
    assert.is(await reading.catch((error) => `${error}`), "RangeError: enough");
  } finally {
    server.close();
    server.closeAllConnections();
  }
  await refuses(() => readImage(`${origin}/420.jpg`), FileError, "FILE", /^cannot read http:/);
  await refuses(() => readImage("file://elsewhere/a.png"), FileError, "FILE", /^cannot read file:/);
  const aborted = AbortSignal.abort(new RangeError("enough"));
  assert.is(await readImage(path, { signal: aborted }).catch((error) => `${error}`), "RangeError: enough");
  await refuses(() => readImage(path, { turn: true } as never), UsageError, "USAGE", /has no option "turn"/);
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
    ["x".repeat(1e5), /^cannot read .{1,450}$/],
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
