"""Photographs for benchmarks/split_photograph_rates.py: squares cut from those of two packages, without labels.

    python benchmarks/split_photographs.py --out out/photographs

The photographs are those of the learning games of GCompris (Debian's package gcompris-qt-data: animals, tools,
landscapes, monuments) and the 20 of ImageNet's in foolbox. Of every three, one is tested on; a photograph that is in
the packages twice is left out, so that no photograph is on both sides. Writes photographs.npz: `train/x` and `test/x`,
uint8 [squares, 3, 224, 224], and `train/photographs` and `test/photographs`, which photograph each was cut from.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from quantization_data import cut
from quantization_data import photographs as imagenet_photographs

PACKAGE = "gcompris-qt-data"
VERSION = "3.1-2"
GAMES = (
    "categorization",
    "clickgame",
    "erase",
    "explore_farm_animals",
    "explore_monuments",
    "explore_world_animals",
    "explore_world_music",
)
"""Those whose opaque pictures are photographs."""
SMALLEST = 224
SQUARES = 1000, 1000
"""To train on and to test on."""
_SAME = 6.0
"""Mean difference of grey levels below which two thumbnails show one photograph."""
_THUMBNAIL = (16, 16)


def game_photographs(folder: Path) -> list[Image.Image]:
    """The photographs of GCompris, in the order of its files."""
    package = next(folder.glob(f"{PACKAGE}_*.deb"), None)
    if package is None:
        subprocess.run(["apt-get", "download", "--quiet", f"{PACKAGE}={VERSION}"], check=True, cwd=folder)
        package = next(folder.glob(f"{PACKAGE}_*.deb"))
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder / PACKAGE)], check=True)
    found = []
    for game in GAMES:
        content = next((folder / PACKAGE).rglob(f"{game}.rcc")).read_bytes()
        # A resource file of Qt holds pictures that are compressed already as they are.
        for match in re.finditer(rb"RIFF....WEBP", content, re.DOTALL):
            picture = Image.open(BytesIO(content[match.start() :]))
            if picture.mode == "RGB" and min(picture.size) >= SMALLEST:
                found.append(picture.convert("RGB"))
    return found


def without_repeats(pictures: list[Image.Image]) -> list[Image.Image]:
    """Each photograph once: the first of those whose thumbnails, mirrored or not, are much the same."""
    kept: list[Image.Image] = []
    seen: list[np.ndarray] = []
    for picture in pictures:
        thumbnail = np.asarray(picture.convert("L").resize(_THUMBNAIL, Image.Resampling.BOX), np.float64)
        turns = (thumbnail, thumbnail[:, ::-1])
        if all(np.abs(turn - other).mean() >= _SAME for turn in turns for other in seen):
            kept.append(picture)
            seen.append(thumbnail)
    return kept


def squares(pictures: list[Image.Image], count: int, first_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares cut from each photograph in turn, and the number of the photograph of each."""
    made, chosen = [], np.arange(count) % len(pictures)
    for number, photograph in enumerate(chosen):
        chance = random.Random(first_seed + number)  # noqa: S311
        made.append(cut(pictures[photograph], chance).transpose(2, 0, 1))
    return np.stack(made), chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    pictures = without_repeats(imagenet_photographs(folder) + game_photographs(folder))
    sides = {
        "train": ([picture for number, picture in enumerate(pictures) if number % 3], SQUARES[0], 0),
        "test": (pictures[::3], SQUARES[1], 1_000_000),
    }
    arrays = {}
    for side, (mine, count, first_seed) in sides.items():
        arrays[f"{side}/x"], arrays[f"{side}/photographs"] = squares(mine, count, first_seed)
        print(side, len(mine), "photographs", count, "squares")
    np.savez(folder / "photographs.npz", **arrays)


if __name__ == "__main__":
    main()
