"""Inputs that quantization is calibrated and judged on: photographs, rendered lines of text, rendered pages.

The photographs are those of the package foolbox (20 of ImageNet's, too few), each cut in several ways; those that
calibrate and those that judge are cut from different photographs. Text is rendered with the fonts that are installed.
Calibration and evaluation never share a photograph or a text.

Usage: python benchmarks/quantization_data.py FOLDER   writes photographs_rgb.npz, photographs_bgr.npz, lines.npz,
pages.npz, each with `calibration/x` and `evaluation/x`; it downloads foolbox with pip.
"""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Array = np.ndarray
FOOLBOX = "foolbox==3.3.4"
FONTS = Path("/usr/share/fonts")
CALIBRATION, EVALUATION = 96, 240
LINES = 2000
"""Lines of text to judge on: they are small, and one answer of 240 would be all that tells two tools apart."""
VOCABULARY = (
    "the quick brown fox jumps over lazy dogs while seven wizards mix liquor invoice total amount due payment "
    "received date number street city article section figure table results method model device energy latency "
    "memory budget report annual quarter customer order delivery address telephone signature page chapter"
)
WORDS = VOCABULARY.split()


def photographs(folder: Path) -> list[Image.Image]:
    """The ImageNet photographs of foolbox."""
    wheel = next(folder.glob("foolbox-*.whl"), None)
    if wheel is None:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), FOOLBOX]
        subprocess.run(command, check=True)
        wheel = next(folder.glob("foolbox-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if "/imagenet_" in name)
        return [Image.open(BytesIO(archive.read(name))).convert("RGB") for name in names]


def cut(image: Image.Image, chance: random.Random) -> Array:
    """A square of 60 to 100 % of the photograph, perhaps mirrored, 224 x 224, uint8, height, width, channels."""
    side = int(min(image.size) * chance.uniform(0.6, 1.0))
    left, top = (chance.randint(0, extent - side) for extent in image.size)
    square = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    if chance.random() < 0.5:
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(square)


def font(chance: random.Random, size: int) -> ImageFont.FreeTypeFont:
    """Any of the fonts."""
    return ImageFont.truetype(str(chance.choice(sorted(FONTS.rglob("*.ttf")))), size)


def line(chance: random.Random) -> Array:
    """A line of text, upside down in half of the cases, as the classifier of text lines wants it: (3, 48, 192)."""
    text = " ".join(chance.sample(WORDS, chance.randint(2, 5)))
    face = font(chance, chance.randint(22, 34))
    left, top, right, bottom = face.getbbox(text)
    paper, ink = chance.randint(180, 255), chance.randint(0, 90)
    size = (int(right - left) + 12, int(bottom - top) + 10)
    image = Image.new("RGB", size, (paper,) * 3)
    ImageDraw.Draw(image).text((6 - left, 5 - top), text, fill=(ink, ink, ink), font=face)
    if chance.random() < 0.5:
        image = image.rotate(180)
    width = min(192, max(1, round(48 * image.width / image.height)))
    pixels = np.asarray(image.resize((width, 48), Image.Resampling.BILINEAR), np.float32)
    filled = np.zeros((3, 48, 192), np.float32)
    filled[:, :, :width] = (pixels / 255 - 0.5).transpose(2, 0, 1) / 0.5
    return filled


def page(chance: random.Random) -> Array:
    """A page of text, turned by a multiple of 90 degrees, as the classifier of page orientation wants it."""
    image = Image.new("RGB", (620, 877), (chance.randint(225, 255),) * 3)
    draw, face, height = ImageDraw.Draw(image), font(chance, chance.randint(13, 22)), 60
    while height < 800 * chance.uniform(0.6, 1.0):
        words = " ".join(chance.choices(WORDS, k=chance.randint(3, 9)))
        draw.text((chance.choice((50, 50, 50, 80)), height), words, fill=(20, 20, 20), font=face)
        height += int(face.size * chance.uniform(1.2, 1.8))
    image = image.rotate(chance.choice((0, 90, 180, 270)), expand=True)
    ratio = 256 / min(image.size)
    image = image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    normal = (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return normal.transpose(2, 0, 1).astype(np.float32)


def write(path: Path, make: Callable[[random.Random, bool], Array], evaluation: int = EVALUATION) -> None:
    """Draw calibration and evaluation from different seeds."""
    np.savez(
        path,
        **{
            "calibration/x": np.stack([make(random.Random(seed), True) for seed in range(CALIBRATION)]),  # noqa: S311
            "evaluation/x": np.stack([make(random.Random(10_000 + seed), False) for seed in range(evaluation)]),  # noqa: S311
        },
    )


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    images = photographs(folder)
    # Every second and third, so that neither part is one kind of picture.
    calibrating = [image for index, image in enumerate(images) if index % 5 < 2]
    judging = [image for index, image in enumerate(images) if index % 5 >= 2]

    def pixels(chance: random.Random, calibrates: bool) -> Array:
        return cut(chance.choice(calibrating if calibrates else judging), chance).astype(np.float32)

    def rgb(chance: random.Random, calibrates: bool) -> Array:
        return (pixels(chance, calibrates).transpose(2, 0, 1) - 127) / 128

    def bgr(chance: random.Random, calibrates: bool) -> Array:
        means = np.array([104.0, 116.7, 122.7], np.float32)
        return np.ascontiguousarray((pixels(chance, calibrates)[:, :, ::-1] - means).transpose(2, 0, 1))

    write(folder / "photographs_rgb.npz", rgb)
    write(folder / "photographs_bgr.npz", bgr)
    write(folder / "lines.npz", lambda chance, _: line(chance), LINES)
    write(folder / "pages.npz", lambda chance, _: page(chance))


if __name__ == "__main__":
    main()
