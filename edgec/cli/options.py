"""Options that several verbs share, and how their values are parsed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgec.core.codes.usage import BAD_SHAPE
from edgec.core.errors import EdgecError

_LARGEST_EXTENT = 2**31 - 1

Model = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The network, as an ONNX file.", show_default=False)]
Artifact = Annotated[
    Path, typer.Argument(metavar="ARTIFACT", help="The folder that `edgec build` wrote.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Write the result to stdout as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Shapes = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="INPUT=1,3,224,224", help="Fix the shape of an input; may be repeated."),
]


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by input name from `NAME=1,3,224,224`; `NAME=` is a scalar.

    Raises:
        EdgecError: EC0102 for a text that is not of that form, an extent that is not positive, or a name given twice.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, extents = text.rpartition("=")
        if not equals or not name:
            raise _bad_shape(text, "there is no NAME= before the extents")
        if name in shapes:
            raise _bad_shape(text, f"the shape of {name} is given twice")
        shapes[name] = tuple(_extent(text, part) for part in extents.split(",")) if extents.strip() else ()
    return shapes


def _extent(text: str, part: str) -> int:
    digits = part.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10 or not 0 < int(digits) <= _LARGEST_EXTENT:
        raise _bad_shape(text, f"{part.strip() or 'nothing'!r} is not a positive whole number")
    return int(digits)


def _bad_shape(text: str, why: str) -> EdgecError:
    return EdgecError(BAD_SHAPE, why, where=f"--shape {text}", hint=BAD_SHAPE.remedy)
