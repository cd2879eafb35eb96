"""Photographs for the studies of EfficientNet-Lite0: squares cut from those of two packages.

    python benchmarks/split_photographs.py --out out/photographs

The photographs are those of the learning games of GCompris (Debian's package gcompris-qt-data: animals, tools,
landscapes, monuments) and the 20 of ImageNet's in foolbox. A photograph that is in the packages twice is taken once.
Every third belongs to the same part, so that what is trained on two parts can be tested on photographs that it has not
seen. Writes photographs.npz with, for each part: `x`, uint8 [squares, 3, 224, 224]; `photographs`, which one each
square was cut from; and `kinds`, what it shows by the folder in which the package keeps it, as an index of KINDS, or
-1 where the folder does not say.
"""

from __future__ import annotations

import argparse
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from qt_resources import stored_files
from quantization_data import cut
from quantization_data import photographs as imagenet_photographs

PACKAGE = "gcompris-qt-data"
VERSION = "3.1-2"
KINDS = ("animal", "energy", "fish", "monument", "tool")
FOLDERS = {
    "categorization/resource/images/fishes": "fish",
    "categorization/resource/images/monuments": "monument",
    "categorization/resource/images/others": None,
    "categorization/resource/images/renewable": "energy",
    "categorization/resource/images/tools": "tool",
    "clickgame/resource": None,
    "erase/resource": "animal",
    "explore_farm_animals/resource/animals": "animal",
    "explore_monuments/resource": "monument",
    "explore_world_animals/resource/animals": "animal",
    "explore_world_music/resource/music": None,
}
"""Those whose opaque pictures are photographs, and what they show."""
SMALLEST = 200
PARTS, SQUARES = 3, 1000
"""Squares are of each part."""
_SAME = 6.0
"""Mean difference of grey levels below which two thumbnails show one photograph."""
_THUMBNAIL = (16, 16)
_ACTIVITIES = "/activities/"


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture and the index of its kind; -1 for none."""

    picture: Image.Image
    kind: int = -1


def game_photographs(folder: Path) -> Iterator[Photograph]:
    """The photographs of GCompris, in the order of its files."""
    package = next(folder.glob(f"{PACKAGE}_*.deb"), None)
    if package is None:
        subprocess.run(["apt-get", "download", "--quiet", f"{PACKAGE}={VERSION}"], check=True, cwd=folder)
        package = next(folder.glob(f"{PACKAGE}_*.deb"))
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder / PACKAGE)], check=True)
    for game in sorted({name.split("/")[0] for name in FOLDERS}):
        for name, content in stored_files(next((folder / PACKAGE).rglob(f"{game}.rcc"))):
            place = name.rpartition(_ACTIVITIES)[2]
            known = next((kind for prefix, kind in FOLDERS.items() if place.startswith(f"{prefix}/")), "")
            if known == "" or not name.endswith(".webp"):
                continue
            picture = Image.open(BytesIO(content))
            if picture.mode == "RGB" and min(picture.size) >= SMALLEST:
                yield Photograph(picture.convert("RGB"), KINDS.index(known) if known else -1)


def without_repeats(photographs: list[Photograph]) -> list[Photograph]:
    """Each photograph once: the first of those whose thumbnails, mirrored or not, are much the same."""
    kept: list[Photograph] = []
    seen: list[np.ndarray] = []
    for photograph in photographs:
        grey = photograph.picture.convert("L").resize(_THUMBNAIL, Image.Resampling.BOX)
        thumbnail = np.asarray(grey, np.float64)
        turns = (thumbnail, thumbnail[:, ::-1])
        if all(np.abs(turn - other).mean() >= _SAME for turn in turns for other in seen):
            kept.append(photograph)
            seen.append(thumbnail)
    return kept


def squares(photographs: list[Photograph], part: int) -> dict[str, np.ndarray]:
    """Squares cut from each photograph of a part in turn, which it was, and its kind."""
    mine = range(part, len(photographs), PARTS)
    chosen = np.array(mine)[np.arange(SQUARES) % len(mine)]
    first_seed = part * SQUARES
    made = [
        cut(photographs[number].picture, random.Random(first_seed + square)).transpose(2, 0, 1)  # noqa: S311
        for square, number in enumerate(chosen)
    ]
    kinds = np.array([photographs[number].kind for number in chosen])
    return {"x": np.stack(made), "photographs": chosen, "kinds": kinds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    found = [Photograph(picture) for picture in imagenet_photographs(folder)]
    photographs = without_repeats([*found, *game_photographs(folder)])
    arrays = {}
    for part in range(PARTS):
        made = squares(photographs, part)
        arrays |= {f"{part}/{name}": numbers for name, numbers in made.items()}
        known = made["photographs"][made["kinds"] >= 0]
        print(f"part {part}:", len(np.unique(made["photographs"])), "photographs,", len(np.unique(known)), "of a kind")
    np.savez(folder / "photographs.npz", **arrays)


if __name__ == "__main__":
    main()
