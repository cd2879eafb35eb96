"""Weights of a model as arrays over mapped files: nothing is copied, nothing outside of the model's folder is read."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from edgec.core.codes.model import EXTERNAL_DATA, MODEL_DAMAGED, MODEL_FEATURE
from edgec.core.errors import EdgecError
from edgec.graph.wire import PLACE_IN_FILE

_TYPED_FIELDS: dict[int, tuple[str, int]] = {
    onnx.TensorProto.FLOAT: ("float_data", 1),
    onnx.TensorProto.DOUBLE: ("double_data", 1),
    onnx.TensorProto.INT64: ("int64_data", 1),
    onnx.TensorProto.UINT64: ("uint64_data", 1),
    onnx.TensorProto.UINT32: ("uint64_data", 1),
    onnx.TensorProto.COMPLEX64: ("float_data", 2),
    onnx.TensorProto.COMPLEX128: ("double_data", 2),
}
"""Field and entries per element by data type; every other type is stored in `int32_data`."""


@dataclass
class WeightFiles:
    """The model file and the data files beside it, each mapped once.

    Args:
        model_path: path of the model file.
        model_map: the mapped model file.
    """

    model_path: Path
    model_map: mmap.mmap
    _maps: dict[str, tuple[Path, mmap.mmap | bytes]] = field(default_factory=dict)

    @property
    def external_paths(self) -> tuple[Path, ...]:
        """The data files that tensors were found in, in order of their locations."""
        return tuple(self._maps[location][0] for location in sorted(self._maps))

    def open(self, location: str, where: str) -> mmap.mmap | bytes:
        """Map a data file.

        Raises:
            EdgecError: EC0204 where the location leaves the model's folder or is no readable file.
        """
        if location not in self._maps:
            path = self._resolve(location, where)
            try:
                self._maps[location] = (path, map_file(path))
            except OSError as error:
                what = f"the data file `{location}` cannot be read: {error.strerror}"
                raise EdgecError(EXTERNAL_DATA, what, where=where, hint=f"put it at {path}") from error
        return self._maps[location][1]

    def _resolve(self, location: str, where: str) -> Path:
        hint = "export the model again with its data file next to it, or as one file"
        if not location or "\0" in location:
            raise EdgecError(EXTERNAL_DATA, f"{where} names no data file", where=where, hint=hint)
        relative = Path(location.replace("\\", "/"))
        if relative.is_absolute() or ".." in relative.parts:
            what = f"the data file `{location}` lies outside of the model's folder"
            raise EdgecError(EXTERNAL_DATA, what, where=where, hint=hint)
        path = self.model_path.parent / relative
        try:
            resolved = path.resolve()
            # A model cache keeps links to a common store: a data file may stand next to the model's link or its target.
            homes = [self.model_path.parent.resolve(), self.model_path.resolve().parent]
            regular = path.is_file()
        except (OSError, RuntimeError, ValueError) as error:
            what = f"the data file `{location[:200]}` cannot be read: {error}"
            raise EdgecError(EXTERNAL_DATA, what, where=where, hint=hint) from error
        if not any(resolved.is_relative_to(home) for home in homes):
            what = f"the data file `{location}` is a link that leads out of the model's folder"
            raise EdgecError(EXTERNAL_DATA, what, where=where, hint=hint)
        if not regular:
            what = f"the data file `{location}` is missing"
            raise EdgecError(EXTERNAL_DATA, what, where=where, hint=f"put it at {path}")
        return path


def map_file(path: Path) -> mmap.mmap | bytes:
    """Map a file for reading; an empty file gives empty bytes, since it cannot be mapped.

    Raises:
        OSError: the file cannot be opened or mapped.
    """
    with path.open("rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            return b""


def check_tensor(proto: onnx.TensorProto, where: str) -> None:
    """Check that a tensor's type is supported and that its data, where they stand in the message, match its shape.

    Raises:
        EdgecError: EC0206 for text and unknown element types, EC0203 for data of another size than the shape says.
    """
    data_type = proto.data_type
    if data_type == onnx.TensorProto.STRING:
        hint = "move text processing out of the model and export the network alone"
        raise EdgecError(MODEL_FEATURE, f"{where} is a tensor of text", where=where, hint=hint)
    if data_type == onnx.TensorProto.UNDEFINED or data_type not in onnx.TensorProto.DataType.values():
        hint = "export the model again with element types that ONNX defines"
        raise EdgecError(MODEL_DAMAGED, f"{where} has the unknown element type {data_type}", where=where, hint=hint)
    if any(extent < 0 for extent in proto.dims):
        raise EdgecError(MODEL_DAMAGED, f"{where} has the shape {list(proto.dims)}", where=where, hint=_EXPORT_AGAIN)
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        return
    elements = math.prod(proto.dims)
    if proto.HasField("raw_data"):
        got, expected, unit = len(proto.raw_data), size_bytes(data_type, elements), "bytes"
    else:
        name, entries = _TYPED_FIELDS.get(data_type, ("int32_data", 1))
        packed = 8 // ir.DataType(data_type).bitwidth if ir.DataType(data_type).bitwidth in (2, 4) else 1
        got, expected, unit = len(getattr(proto, name)), -(-elements * entries // packed), "numbers"
    if got != expected:
        what = f"{where} of shape {list(proto.dims)} needs {expected} {unit} of data and has {got}"
        raise EdgecError(MODEL_DAMAGED, what, where=where, hint=_EXPORT_AGAIN)


def mapped_tensor(proto: onnx.TensorProto, files: WeightFiles, where: str) -> ir.TensorProtocol:
    """A tensor over a mapped file.

    Raises:
        EdgecError: EC0204 where the file does not hold the data that the tensor's shape needs.
    """
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    needed = size_bytes(proto.data_type, math.prod(proto.dims))
    offset, length = _number(entries, "offset", 0, where), _number(entries, "length", needed, where)
    content = files.model_map if location == PLACE_IN_FILE else files.open(location, where)
    if length != needed:
        what = f"{where} of shape {list(proto.dims)} needs {needed} bytes of data and is given {length}"
        raise EdgecError(EXTERNAL_DATA, what, where=where, hint=_EXPORT_AGAIN)
    if offset + length > len(content):
        what = f"{where} ends at byte {offset + length} of a data file of {len(content)} bytes"
        raise EdgecError(EXTERNAL_DATA, what, where=where, hint="copy the data file again; it seems cut short")
    return _over(content, offset, length, ir.DataType(proto.data_type), proto)


def size_bytes(data_type: int, elements: int) -> int:
    """Bytes of raw data that a number of elements of an ONNX element type takes, rounded up to whole bytes."""
    return -(-elements * ir.DataType(data_type).bitwidth // 8)


_EXPORT_AGAIN = "the file seems altered or cut short: export or copy it again"


def _over(
    content: mmap.mmap | bytes, offset: int, length: int, dtype: ir.DataType, proto: onnx.TensorProto
) -> ir.TensorProtocol:
    shape = list(proto.dims)
    if dtype.bitwidth < 8:
        packed = np.frombuffer(content, dtype=np.uint8, count=length, offset=offset)
        return ir.PackedTensor(packed, dtype, shape=ir.Shape(shape), name=proto.name)
    numpy_type = np.dtype(dtype.numpy()).newbyteorder("<")
    count = length // numpy_type.itemsize
    if not count:
        return ir.Tensor(np.zeros(shape, numpy_type), dtype=dtype, shape=ir.Shape(shape), name=proto.name)
    array = np.frombuffer(content, dtype=numpy_type, count=count, offset=offset).reshape(shape)
    return ir.Tensor(array, dtype=dtype, shape=ir.Shape(shape), name=proto.name)


def _number(entries: dict[str, str], key: str, default: int, where: str) -> int:
    text = entries.get(key, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise EdgecError(EXTERNAL_DATA, f"{where} has the {key} `{text[:40]}`", where=where, hint=_EXPORT_AGAIN)
    return int(text)
