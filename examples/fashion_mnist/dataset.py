"""Fashion-MNIST from the gzip files of Debian's package `dataset-fashion-mnist`, or of the data set's authors.

Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
2017.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CALIBRATION_IMAGES = 512
_MEAN, _DEVIATION = 0.2860, 0.3530
_IDX_BYTES, _IDX_IMAGES, _IDX_LABELS = 8, 3, 1


@dataclass(frozen=True)
class Images:
    """Pictures of clothes with their classes.

    Attributes:
        pixels: float32 [images, 1, 28, 28], mean 0 and deviation 1 over the training set.
        labels: int64 [images], 0 to 9.
    """

    pixels: np.ndarray
    labels: np.ndarray


def load(folder: Path, part: str) -> Images:
    """The 60,000 images of `train`, or the 10,000 of `t10k`.

    Raises:
        SystemExit: a file is missing, with how to get it, or is not what its name says.
    """
    pixels = _read(folder / f"{part}-images-idx3-ubyte.gz", _IDX_IMAGES)
    labels = _read(folder / f"{part}-labels-idx1-ubyte.gz", _IDX_LABELS)
    scaled = (pixels.astype(np.float32) / 255 - _MEAN) / _DEVIATION
    return Images(scaled[:, None].astype(np.float32), labels.astype(np.int64))


def save_for_edgec(train: Images, test: Images, path: Path) -> None:
    """Write the arrays that `edgec build --data` reads; calibration images are taken evenly from the training set."""
    chosen = np.arange(CALIBRATION_IMAGES) * len(train.labels) // CALIBRATION_IMAGES
    parts = {"train": train, "calibration": Images(train.pixels[chosen], train.labels[chosen]), "evaluation": test}
    arrays = {f"{name}/x": images.pixels for name, images in parts.items()}
    arrays |= {f"{name}/y": images.labels for name, images in parts.items()}
    hidden = path.with_suffix(".part.npz")
    np.savez_compressed(hidden, **arrays)
    hidden.replace(path)


def _read(path: Path, axes: int) -> np.ndarray:
    """An array in the IDX format: two zero bytes, element type, number of axes, extents, elements."""
    if not path.is_file():
        raise SystemExit(
            f"{path} does not exist. `apt install dataset-fashion-mnist` brings it to {DEBIAN_FOLDER};"
            " with the files elsewhere, name their folder with --data."
        )
    content = gzip.decompress(path.read_bytes())
    if content[:4] != bytes([0, 0, _IDX_BYTES, axes]):
        raise SystemExit(f"{path} is no IDX file of bytes with {axes} axes: fetch it again.")
    extents = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(extents)
