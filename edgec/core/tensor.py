"""The static type of a tensor at the border of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict

Sample = Mapping[str, np.ndarray]
"""One set of inputs of a model by name."""


class TensorSpec(BaseModel):
    """Name, element type and static shape of an input or output.

    Attributes:
        name: the name in the ONNX graph.
        dtype: numpy's name of the element type, `float32`, `int8`, `bool`, ….
        shape: extents, all known; `()` for a scalar.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Size in memory, in bytes."""
        return self.elements * np.dtype(self.dtype).itemsize
