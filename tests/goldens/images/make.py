"""Makes the image goldens beside this file with Pillow, and the presets' with torchvision:

    python make.py [folder of a module torchvision_cpu that makes torchvision import without CUDA]

goldens.json holds checksums of what Pillow and torchvision make of two synthetic images (`noise` and `checks` below,
written down a second time in the tests) and of the PNG, JPEG and WebP files that this script writes; and the pixels of a
tiny picture with every EXIF orientation, as base64.
"""

import base64
import hashlib
import importlib
import io
import json
import pathlib
import struct
import sys
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])
    importlib.import_module("torchvision_cpu")
import torch
import torchvision
from torchvision.transforms._presets import ImageClassification

HERE = pathlib.Path(__file__).parent
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(width, height):
    index = np.arange(width * height * 3, dtype=np.uint64)
    return ((index * 2654435761 & 0xFFFFFFFF) >> 24).astype(np.uint8).reshape(height, width, 3)


def checks(width, height):
    y, x = np.mgrid[:height, :width]
    return np.stack([((x >> 2 ^ y >> 1 + c) & 1) * 255 for c in range(3)], -1).astype(np.uint8)


PATTERNS = {"noise": noise, "checks": checks}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def resizes():
    sizes = [
        ((1, 1), (7, 5)), ((3, 200), (50, 10)), ((37, 53), (224, 320)), ((500, 333), (384, 256)),
        ((500, 333), (1, 1)), ((1000, 700), (3, 2)), ((2, 2), (101, 99)), ((64, 48), (64, 48)),
        ((64, 48), (64, 20)), ((64, 48), (33, 48)), ((640, 481), (341, 256)), ((17, 900), (900, 17)),
        ((255, 257), (256, 256)), ((1, 300), (300, 1)), ((999, 1), (7, 3)), ((2, 344), (6, 300)),
        ((2, 201), (1, 150)), ((2, 201), (5, 202)), ((344, 2), (300, 6)),
    ]  # fmt: skip
    for interpolation in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
        for pattern, make in PATTERNS.items():
            for source, target in sizes:
                digits = sha256(Image.fromarray(make(*source)).resize(target, interpolation).tobytes())
                name = interpolation.name.lower()
                yield {"pattern": pattern, "from": source, "to": target, "interpolation": name, "sha256": digits}


def presets():
    cases = [
        ((500, 333), 256, 224), ((333, 500), 256, 224), ((257, 256), 256, 224), ((100, 101), 256, 224),
        ((1, 1), 256, 224), ((13, 1200), 256, 224), ((1200, 13), 256, 224), ((225, 224), 224, 224),
        ((300, 200), 232, 224), ((90, 61), 31, 40), ((61, 90), 31, 45), ((63, 64), 30, 45),
        ((640, 427), 236, 229), ((403, 303), 255, 224), ((53, 37), 16, 3), ((7, 1801), 5, 4),
        ((7, 1801), 9, 4),
    ]  # fmt: skip
    for pattern, make in PATTERNS.items():
        for (width, height), resize, crop in cases:
            preset = ImageClassification(resize_size=resize, crop_size=crop, mean=MEAN, std=STD)
            yield preset_case(pattern, Image.fromarray(make(width, height)), resize, crop, preset)
    preset = ImageClassification(resize_size=256, crop_size=224, mean=(0.5,), std=(0.25,))
    yield preset_case("noise", Image.fromarray(noise(301, 200)).convert("L"), 256, 224, preset)


def preset_case(pattern, image, resize, crop, preset):
    tensor = preset(image)
    channels = len(image.getbands())
    assert tensor.shape == (channels, crop, crop) and tensor.dtype == torch.float32
    return {
        "pattern": pattern,
        "from": image.size,
        "resize": resize,
        "crop": crop,
        "channels": channels,
        "sha256": sha256(tensor.numpy().astype("<f4").tobytes()),
    }


# PNG: written here and not by Pillow, which writes neither interlaced files nor every depth.

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack(row, depth):
    """One row of samples as bytes."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = "".join(format(int(sample), f"0{depth}b") for sample in row)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def filtered(rows, pixel):
    """The rows with the five filters in turn."""
    above = bytes(len(rows[0]))
    for number, row in enumerate(rows):
        kind = (number + 2) % 5
        line = bytearray([kind])
        for i, value in enumerate(row):
            left = row[i - pixel] if i >= pixel else 0
            up, corner = above[i], above[i - pixel] if i >= pixel else 0
            line.append((value - [0, left, up, (left + up) // 2, paeth(left, up, corner)][kind]) % 256)
        yield bytes(line)
        above = row


def paeth(left, up, corner):
    return min((left, up, corner), key=lambda value: abs(left + up - corner - value))


def png(samples, depth, kind, interlaced, *extra):
    """A file with the samples [height, width, samples per pixel]."""
    height, width, count = samples.shape
    body = b""
    for left, top, across, down in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::across]
        if part.size:
            rows = [pack(row.reshape(-1), depth) for row in part]
            body += b"".join(filtered(rows, max(1, count * depth // 8)))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    compressed = zlib.compress(body, 9)
    half = len(compressed) // 2
    chunks = [(b"IHDR", header), *extra, (b"tEXt", b"Comment\0\xfftest"), (b"IDAT", compressed[:half])]
    chunks += [(b"IDAT", b""), (b"IDAT", compressed[half:]), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in chunks)


def pngs():
    for kind, depths in DEPTHS.items():
        for depth in depths:
            for interlaced in (False, True):
                width, height = (19, 13) if interlaced else (11, 10)
                count = width * height * SAMPLES[kind]
                values = (np.arange(count, dtype=np.uint64) * 2654435761 & 0xFFFFFFFF) >> (32 - depth)
                samples = values.astype(np.int64).reshape(height, width, SAMPLES[kind])
                name = f"type{kind}-{depth}bit{'-interlaced' if interlaced else ''}"
                colours = noise(2**depth, 1).tobytes() if kind == 3 else b""
                palette = [(b"PLTE", colours)] if kind == 3 else []
                yield name, png(samples, depth, kind, interlaced, *palette)
                if interlaced:
                    continue
                if kind == 3:
                    alpha = bytes([0, 128])
                elif kind in (0, 2):
                    alpha = b"".join(struct.pack(">H", int(value)) for value in samples[3, 4])
                else:
                    continue
                yield f"{name}-transparent", png(samples, depth, kind, False, *palette, (b"tRNS", alpha))
    small = np.array([[[1]]])
    yield "1x1-interlaced", png(small, 8, 0, True)
    yield "3x2-interlaced", png(np.arange(6).reshape(2, 3, 1), 8, 0, True)


# JPEG


def picture(width, height):
    """Smooth colours, sharp edges and a little noise."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([128 + 100 * np.sin(x / 7 + c) * np.cos(y / (5 + c)) for c in range(3)], -1)
    edges = 90.0 * ((x // 9 + y // 13) % 2)[..., None] * np.array([1, -1, 0.5])
    return Image.fromarray((smooth + edges + noise(width, height) / 16).clip(0, 255).astype(np.uint8))


def jpegs():
    image = picture(53, 37)
    options = {
        "420": {"subsampling": 2},
        "422": {"subsampling": 1},
        "444": {"subsampling": 0},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 3},
        "rough": {"quality": 15},
        "rgb": {"keep_rgb": True},
    }
    for name, option in options.items():
        yield name, encode(image, **option)
    yield "grey", encode(image.convert("L"))
    yield "grey-progressive", encode(image.convert("L"), progressive=True)
    yield "cmyk", encode(image.convert("CMYK"))
    yield "1x1", encode(image.crop((0, 0, 1, 1)))
    yield "440", transposed_sampling(encode(picture(64, 32), subsampling=1))
    ycck = encode(image.convert("CMYK"), quality=90)
    yield "ycck", ycck.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2")
    turned = image.getexif()
    turned[0x0112] = 6
    yield "exif-rotated", encode(image, exif=turned)
    yield "trailer", encode(image) + b"preview follows" * 9


def encode(image, kind="JPEG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **{"quality": 85, **options})
    return buffer.getvalue()


def transposed_sampling(data):
    """4:2:2 blocks read as 4:4:0: a scrambled picture, but a valid file of a kind that Pillow cannot write."""
    start = data.index(b"\xff\xc0") + 4
    height, width = struct.unpack(">HH", data[start + 1 : start + 5])
    frame = bytearray(data[start : start + 15])
    frame[1:5] = struct.pack(">HH", height * 2, width // 2)
    assert frame[7] == 0x21
    frame[7] = 0x12
    return data[:start] + bytes(frame) + data[start + 15 :]


# WebP


def webps():
    image = picture(53, 37)
    yield "lossy", encode(image, "WEBP", quality=60)
    yield "lossless", encode(image, "WEBP", lossless=True)
    alpha = Image.fromarray(checks(53, 37)[..., 0] // 3 * 2 + 40)
    image.putalpha(alpha)
    yield "alpha", encode(image, "WEBP", quality=80)
    yield "alpha-lossless", encode(image, "WEBP", lossless=True, exact=True)


# Orientation


def orientations():
    """A picture of 3 x 2 pixels, which all differ, in every orientation, and what it then is."""
    colours = np.arange(1, 7, dtype=np.uint8).reshape(2, 3, 1) * np.array([40, 20, 10], dtype=np.uint8)
    image = Image.fromarray(colours)
    for value in range(1, 9):
        exif = image.getexif()
        exif[0x0112] = value
        data = encode(image, "WEBP", lossless=True, exif=exif)
        turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        file, rgb = base64.b64encode(data).decode(), list(turned.convert("RGB").tobytes())
        yield {"value": value, "file": file, "size": turned.size, "rgb": rgb}


def files(makers, extension):
    for name, data in makers:
        path = HERE / f"{name}.{extension}"
        path.write_bytes(data)
        with Image.open(path) as image:
            image.load()
            if image.mode == "I;16":  # convert() would clip and not scale
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            pixels = np.asarray(image.convert("RGB"))
        yield {"file": path.name, "size": pixels.shape[1::-1], "sha256": sha256(pixels.tobytes())}


for stale in [path for kind in ("png", "jpg", "webp") for path in HERE.glob(f"*.{kind}")]:
    stale.unlink()
goldens = {
    "made_with": {"pillow": PIL.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__},
    "resize": list(resizes()),
    "preset": list(presets()),
    "png": list(files(pngs(), "png")),
    "jpeg": list(files(jpegs(), "jpg")),
    "webp": list(files(webps(), "webp")),
    "orientation": list(orientations()),
}
text = json.dumps(goldens).replace('": [{', '": [\n  {').replace("}, {", "},\n  {").replace("}], ", "}\n], ")
(HERE / "goldens.json").write_text(text + "\n")
