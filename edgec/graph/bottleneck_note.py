"""What a model with a bottleneck says about itself: which value travels, and how often each symbol of it occurs."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from edgec.graph.model_note import ModelNote


class BottleneckNote(ModelNote):
    """Where to cut a model.

    Attributes:
        value: name of the tensor that travels.
        lowest: the symbol that the first of some counts is of.
        counts: for each group of elements how often each symbol is expected, in any common unit; empty where they are
            to be counted on samples.
        groups: for each element of the tensor, row-major, the number of its group; empty where channels are the groups.
    """

    key: ClassVar[str] = "edgec.bottleneck"
    instead: ClassVar[str] = ", or name the values with --cut"

    value: str
    lowest: int = Field(default=-128, ge=-128, le=127)
    counts: tuple[tuple[int, ...], ...] = ()
    groups: tuple[int, ...] = ()
