"""Data from a folder that holds one folder of images for each class."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import numpy as np

from edgec.core.codes.data import BAD_SPEC, DOES_NOT_FIT, PILLOW_MISSING, TOO_LARGE, UNREADABLE_DATA
from edgec.core.data import DataSource, LabelledSample, Split, split_indices
from edgec.core.errors import EdgecError
from edgec.core.tensor import TensorSpec

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_LARGEST_PIXELS = 2**26


@dataclass(frozen=True)
class Normalisation:
    """How bytes become the model's numbers: `(byte / scale − mean) / std`, mean and std for each channel."""

    scale: float = 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class ImageData(DataSource):
    """Images below `FOLDER/CLASS/`, labelled by the place of their class in alphabetic order.

    An image is converted to the model's number of channels and resized to its extents (bilinear). Inputs of type
    uint8 take its bytes; float inputs take bytes / 255 unless the specification says otherwise:
    `FOLDER?scale=255&mean=0.485,0.456,0.406&std=0.229,0.224,0.225`.

    Raises:
        EdgecError: EC0701 for a faulty specification or a folder without images, EC0705 for a model that takes no
            image, EC0706 without Pillow.
    """

    def __init__(self, specification: str, inputs: tuple[TensorSpec, ...]) -> None:
        super().__init__(specification, inputs)
        folder, _, query = specification.partition("?")
        self._folder = Path(folder)
        self._normalisation = _parse(query, specification)
        self._layout = _Layout.of(inputs, specification)
        classes = sorted(entry for entry in self._folder.iterdir() if entry.is_dir())
        self._files = [(path, label) for label, each in enumerate(classes) for path in _images_in(each)]
        if not self._files:
            hint = "put the images of each class into a folder of its own: FOLDER/CLASS/1.png"
            raise EdgecError(BAD_SPEC, "the folder holds no images", where=f"--data {specification}", hint=hint)
        _require_pillow(specification)

    @cached_property
    def sha256(self) -> str:
        """Digest of the files' names and contents and of the normalisation."""
        digest = hashlib.sha256(repr(self._normalisation).encode())
        for path, _ in self._files:
            digest.update(path.relative_to(self._folder).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        for index in split_indices(len(self._files), split):
            path, label = self._files[index]
            array = self._layout.arranged(_decode(path, self._layout), self._normalisation, self.specification)
            yield LabelledSample({self.inputs[0].name: array}, np.asarray(label, dtype=np.int64))


@dataclass(frozen=True)
class _Layout:
    """The image that the model's only input takes."""

    spec: TensorSpec
    channels: int
    height: int
    width: int
    channels_last: bool

    @classmethod
    def of(cls, inputs: tuple[TensorSpec, ...], specification: str) -> _Layout:
        """The layout by the place of an extent of 1 or 3 channels, NCHW before NHWC."""
        for spec in inputs[:1] if len(inputs) == 1 else ():
            if len(spec.shape) == 4 and spec.shape[0] == 1 and spec.dtype in ("uint8", "float32", "float16", "float64"):
                _, first, second, third = spec.shape
                if first in (1, 3):
                    return cls(spec, first, second, third, channels_last=False)
                if third in (1, 3):
                    return cls(spec, third, first, second, channels_last=True)
        raise EdgecError(
            DOES_NOT_FIT,
            "the model does not take one image of 1 or 3 channels",
            where=f"--data {specification}",
            hint="give a .npz file or a function",
            details=tuple(f"{spec.name}: {spec.dtype}{list(spec.shape)}" for spec in inputs),
        )

    def arranged(self, pixels: np.ndarray, normalisation: Normalisation, where: str) -> np.ndarray:
        """Pixels (height × width × channels, uint8) in the input's layout and type."""
        values = pixels
        if self.spec.dtype != "uint8":
            for name in ("mean", "std"):
                if len(getattr(normalisation, name)) not in (1, self.channels):
                    what = f"{name} has {len(getattr(normalisation, name))} values for {self.channels} channels"
                    raise EdgecError(BAD_SPEC, what, where=where, hint="give one value, or one for each channel")
            scaled = pixels.astype(np.float64) / normalisation.scale
            values = (scaled - np.asarray(normalisation.mean)) / np.asarray(normalisation.std)
        placed = values if self.channels_last else values.transpose(2, 0, 1)
        return np.ascontiguousarray(placed[None], dtype=np.dtype(self.spec.dtype))


def _images_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())


def _decode(path: Path, layout: _Layout) -> np.ndarray:
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            _check_size(image, path)
            converted = image.convert("L" if layout.channels == 1 else "RGB")
            resized = converted.resize((layout.width, layout.height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise EdgecError(UNREADABLE_DATA, str(problem), where=str(path), hint=UNREADABLE_DATA.remedy) from problem
    return np.asarray(resized, dtype=np.uint8).reshape(layout.height, layout.width, layout.channels)


def _check_size(image: Image.Image, path: Path) -> None:
    if image.width * image.height > _LARGEST_PIXELS:
        what = f"the image has {image.width} × {image.height} pixels"
        raise EdgecError(TOO_LARGE, what, where=str(path), hint="scale the image down first")


def _require_pillow(specification: str) -> None:
    try:
        import PIL.Image  # noqa: F401 - only whether it is there
    except ImportError as problem:
        raise EdgecError(
            PILLOW_MISSING, "Pillow is not installed", where=f"--data {specification}", hint=PILLOW_MISSING.remedy
        ) from problem


def _parse(query: str, specification: str) -> Normalisation:
    """The part of the specification after `?`."""
    values: dict[str, tuple[float, ...]] = {}
    try:
        for name, text in parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else ():
            values[name] = tuple(float(part) for part in text.split(","))
        scale = values.pop("scale", (255.0,))
        mean, std = values.pop("mean", (0.0,)), values.pop("std", (1.0,))
    except ValueError as problem:
        raise _bad_query(str(problem), specification) from problem
    divisors = (*scale, *std)
    if values or len(scale) != 1 or not all(math.isfinite(value) for value in (*divisors, *mean)) or 0.0 in divisors:
        raise _bad_query(f"{', '.join(values) or 'a value'} is not allowed", specification)
    return Normalisation(scale[0], mean, std)


def _bad_query(why: str, specification: str) -> EdgecError:
    hint = "after the folder: ?scale=255&mean=0.485,0.456,0.406&std=0.229,0.224,0.225"
    return EdgecError(BAD_SPEC, why, where=f"--data {specification}", hint=hint)
