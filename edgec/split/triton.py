"""The tail as a model repository of NVIDIA's Triton inference server, so that serving scales on an existing engine.

Layout and configuration: https://docs.nvidia.com/deeplearning/triton-inference-server (Model Repository, Model
Configuration).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx_ir as ir

from edgec.graph.save import save_model

REPOSITORY = "server"
_MOST_BATCH = 16
_TYPES = {
    ir.DataType.FLOAT: "TYPE_FP32",
    ir.DataType.FLOAT16: "TYPE_FP16",
    ir.DataType.DOUBLE: "TYPE_FP64",
    ir.DataType.INT8: "TYPE_INT8",
    ir.DataType.UINT8: "TYPE_UINT8",
    ir.DataType.INT32: "TYPE_INT32",
    ir.DataType.INT64: "TYPE_INT64",
    ir.DataType.BOOL: "TYPE_BOOL",
}


def write_repository(tail: ir.Model, name: str, folder: Path) -> str:
    """Write `server/NAME/1/model.onnx` and its configuration.

    Args:
        tail: with an open first axis where it takes batches.
        name: of the model in the repository.
        folder: of the split network.

    Returns:
        Path of the ONNX file, relative to the folder.
    """
    place = Path(REPOSITORY) / name / "1" / "model.onnx"
    (folder / place).parent.mkdir(parents=True)
    save_model(tail, folder / place)
    (folder / place.parent.parent / "config.pbtxt").write_text(_configuration(tail, name), encoding="utf-8")
    return str(place)


def _configuration(tail: ir.Model, name: str) -> str:
    batches = not any(isinstance(_extents(value)[0], int) for value in tail.graph.inputs)
    lines = [f'name: "{name}"', 'backend: "onnxruntime"', f"max_batch_size: {_MOST_BATCH if batches else 0}"]
    lines += _tensors("input", tail.graph.inputs, batches)
    lines += _tensors("output", tail.graph.outputs, batches)
    if batches:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


def _tensors(kind: str, values: Iterable[ir.Value], batches: bool) -> list[str]:
    entries = [
        f'  {{ name: "{value.name}" data_type: {_TYPES[value.dtype or ir.DataType.FLOAT]} '
        f"dims: {list(_extents(value)[int(batches) :])} }}"
        for value in values
    ]
    return [f"{kind} [", ",\n".join(entries), "]"]


def _extents(value: ir.Value) -> tuple[int | str, ...]:
    return tuple(extent if isinstance(extent, int) else str(extent) for extent in value.shape or ())
