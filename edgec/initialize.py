"""The verb `init`: write a commented project file."""

from __future__ import annotations

from pathlib import Path

from edgec.core.codes.usage import WOULD_OVERWRITE
from edgec.core.configuration import FILE_NAME
from edgec.core.errors import EdgecError

TEMPLATE = """\
# A project of edgec: what `edgec build` takes where the command line does not say.
# Paths are relative to this file.

[models]
# classifier = "models/classifier.onnx"

# Extents of inputs whose shape is not fixed in the model.
# [shapes.classifier]
# image = [1, 3, 224, 224]

[data]
# By model: a .npz file, a folder of images by class, or module:function.
# classifier = "data/calibration.npz"

[build]
# `edgec targets list` shows the devices.
# target = "raspberry-pi-4"
# `exact` keeps the outputs; `edgec passes list` shows what a recipe can do.
# recipe = "exact"
# threads = 4
# seed = 0

# What `report.json` of a build must keep.
# [budget.raspberry-pi-4.classifier]
# latency_ms = {max = 40, mode = "predicted"}
# instructions = {max_increase = "2%"}
"""


def initialize(folder: Path) -> Path:
    """Write `edgec.toml` into a folder and return its path.

    Raises:
        EdgecError: EC0108 if the folder has one.
        OSError: the folder does not exist or cannot be written.
    """
    path = folder / FILE_NAME
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise EdgecError(
            WOULD_OVERWRITE, f"there is a {FILE_NAME} already", where=str(path), hint=WOULD_OVERWRITE.remedy
        ) from None
    return path
