"""Saving a model to one file, or to one file and its data where protobuf's limit of 2 GB demands it."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

_LARGEST_FILE_BYTES = 1_900_000_000
"""Weights above this go to a data file beside the model: a protobuf message cannot exceed 2 GB."""


def save_model(model: ir.Model, path: Path) -> None:
    """Write a model; equal models give equal bytes.

    Args:
        model: its weights may be mapped from another file; they are copied.
        path: the file; large weights go to `path.data`.

    Raises:
        OSError: the disk is full or refuses.
    """
    tensors = [v.const_value for v in model.graph.initializers.values() if v.const_value is not None]
    large = sum(tensor.nbytes for tensor in tensors) > _LARGEST_FILE_BYTES
    if large:
        ir.save(model, path, external_data=f"{path.name}.data")
        return
    embedded = model.clone()
    ir.external_data.load_to_model(embedded)
    ir.save(embedded, path)
