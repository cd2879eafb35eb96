"""Loads an ONNX file into the IR: checked, inlined, sorted, with shapes, its weights mapped and not copied."""

from __future__ import annotations

import hashlib
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from edgec.core.codes.model import MODEL_DAMAGED, MODEL_NOT_READABLE, NOT_ONNX
from edgec.core.errors import EdgecError
from edgec.graph.contractions import check_contractions
from edgec.graph.quantization_qonnx import QONNX_DOMAIN, add_missing_functions
from edgec.graph.quiet import quiet_onnx_ir
from edgec.graph.reserved_names import RESERVED_NAMES
from edgec.graph.shapes import infer_shapes
from edgec.graph.structure import check_structure, graphs_of, tensors_of
from edgec.graph.weights import WeightFiles, map_file, mapped_tensor
from edgec.graph.wire import PLACE_IN_FILE, WireError, without_large_tensors

_OTHER_FORMATS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "a zip archive (a PyTorch checkpoint, or a Keras file?)"),
    (0, b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (0, b"\x89HDF", "an HDF5 file (a Keras model?)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself with `git lfs pull`"),
    (0, b"ir_version:", "an ONNX model in text form"),
    (0, b"<", "text or markup, perhaps ONNX in text form or a web page saved instead of the model"),
    (0, b"{", "JSON"),
    (0, b"\x80\x02", "a Python pickle (a PyTorch checkpoint?)"),
    (0, b"\x80\x04", "a Python pickle"),
)

_READER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What onnx_ir raises for messages that it did not foresee."""


@dataclass(frozen=True)
class LoadedModel:
    """A model with its origin.

    Attributes:
        model: functions inlined, nodes in order, shapes inferred; large weights are read-only arrays over the mapped
            file, not necessarily aligned.
        name: stem of the file name, as an artefact may be named.
        sha256: of the model file followed by its data files, in order of their locations.
        path: the file.
    """

    model: ir.Model
    name: str
    sha256: str
    path: Path


def load_model(path: Path, *, quantisers: bool = False) -> LoadedModel:
    """Load and check an ONNX file.

    Args:
        path: of the file.
        quantisers: whether calls of QONNX's functions stay, for hardware that builds them; else their bodies take
            their place, as with every other function.

    Raises:
        EdgecError: EC0201 to EC0207; no other exception leaves this function whatever the file holds.
    """
    content = _map_model(path)
    proto = _parse(content, path)
    files = WeightFiles(path, content)
    check_structure(proto)
    model = _to_ir(proto, files)
    add_missing_functions(model)
    _inline_and_sort(model, quantisers)
    infer_shapes(model)
    check_contractions(model)
    return LoadedModel(model, network_name(path.stem), _sha256(path, files.external_paths), path)


def model_sha256(path: Path) -> str:
    """The digest that `load_model` gives, without building the model.

    Raises:
        EdgecError: EC0201 to EC0204.
    """
    content = _map_model(path)
    files = WeightFiles(path, content)
    for where, tensor in _all_tensors(_parse(content, path)):
        for entry in tensor.external_data:
            if entry.key == "location" and entry.value != PLACE_IN_FILE:
                files.open(entry.value, where)
    return _sha256(path, files.external_paths)


def identifier(text: str) -> str:
    """A text as a C identifier: other characters become `_`; a leading digit gets a prefix."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_") or "model"
    return f"model_{name}" if name[0].isdigit() else name


def network_name(text: str) -> str:
    """The name of a network in its artefact; one that is taken, or begins as edgec's own do, gets a prefix."""
    name = identifier(text)
    folded = name.lower()
    return f"model_{name}" if folded in RESERVED_NAMES or folded.startswith("edgec") else name


_EXPORT_AGAIN = "the file seems altered or cut short: export or copy it again"


def _map_model(path: Path) -> mmap.mmap:
    where, hint = str(path), "give the path of an .onnx file"
    try:
        if path.is_dir():
            raise EdgecError(MODEL_NOT_READABLE, f"{path} is a folder", where=where, hint=_models_in(path))
        if not path.exists():
            raise EdgecError(MODEL_NOT_READABLE, f"{path} does not exist", where=where, hint=hint)
        if not path.is_file():
            raise EdgecError(MODEL_NOT_READABLE, f"{path} is not a regular file", where=where, hint=hint)
        content = map_file(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        what = f"{path} cannot be read: {reason}"
        raise EdgecError(MODEL_NOT_READABLE, what, where=where, hint="check the path and its permissions") from error
    if not isinstance(content, mmap.mmap):
        raise EdgecError(MODEL_NOT_READABLE, f"{path} is empty", where=where, hint="export or copy the model again")
    return content


def _models_in(folder: Path) -> str:
    models = sorted(entry.name for entry in folder.glob("*.onnx"))[:5]
    return f"give one of its files: {', '.join(models)}" if models else "give the path of an .onnx file"


def _parse(content: mmap.mmap, path: Path) -> onnx.ModelProto:
    head = content[:64]
    for offset, magic, description in _OTHER_FORMATS:
        if head[offset:].startswith(magic):
            hint = "export the network to ONNX and give that file"
            raise EdgecError(NOT_ONNX, f"{path} is {description}", where=str(path), hint=hint)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(without_large_tensors(content))
    except (WireError, DecodeError) as error:
        reason = str(error) if isinstance(error, WireError) else "a message inside it is malformed"
        what = f"{path} is not an ONNX model, or is damaged: {reason}"
        raise EdgecError(NOT_ONNX, what, where=str(path), hint=_EXPORT_AGAIN) from error
    return proto


def _to_ir(proto: onnx.ModelProto, files: WeightFiles) -> ir.Model:
    mapped = _map_weights(proto, files)
    try:
        with quiet_onnx_ir():
            model = ir.from_proto(proto)
    except _READER_ERRORS as error:
        raise EdgecError(MODEL_DAMAGED, _innermost(error), hint=_EXPORT_AGAIN) from error
    _put_weights(model, mapped)
    return model


def _map_weights(proto: onnx.ModelProto, files: WeightFiles) -> dict[str, ir.TensorProtocol]:
    """Map every tensor whose data are not in the message; the tensor's location becomes the key of the result."""
    mapped: dict[str, ir.TensorProtocol] = {}
    for where, tensor in _all_tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            key = f"edgec:{len(mapped)}"
            mapped[key] = mapped_tensor(tensor, files, where)
            del tensor.external_data[:]
            tensor.external_data.add(key="location", value=key)
    return mapped


def _all_tensors(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    def of_nodes(nodes: object) -> Iterator[tuple[str, onnx.TensorProto]]:
        for node in nodes:  # type: ignore[attr-defined]
            for attribute in node.attribute:
                for tensor in tensors_of(attribute):
                    yield f"attribute `{attribute.name}` of node `{node.name}`", tensor
                for graph in graphs_of(attribute):
                    yield from of_graph(graph)

    def of_graph(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
        for tensor in graph.initializer:
            yield f"weight `{tensor.name}`", tensor
        yield from of_nodes(graph.node)

    yield from of_graph(proto.graph)
    for function in proto.functions:
        yield from of_nodes(function.node)


def _put_weights(model: ir.Model, mapped: dict[str, ir.TensorProtocol]) -> None:
    """Replace the placeholders of mapped tensors in the IR."""

    def real(tensor: object) -> ir.TensorProtocol | None:
        return mapped[str(tensor.location)] if isinstance(tensor, ir.ExternalTensor) else None

    for graph in model.graphs():
        for value in graph.initializers.values():
            if (tensor := real(value.const_value)) is not None:
                value.const_value = tensor
    nodes = [*model.graph.all_nodes(), *(node for body in model.functions.values() for node in body.all_nodes())]
    for node in nodes:
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and (tensor := real(attribute.value)) is not None:
                node.attributes[name] = ir.AttrTensor(name, tensor)
            elif attribute.type == ir.AttributeType.TENSORS:
                node.attributes[name] = ir.AttrTensors(name, [real(item) or item for item in attribute.value])


def _inline_and_sort(model: ir.Model, quantisers: bool) -> None:
    from onnx_ir.passes.common import InlinePass

    try:
        if model.functions:
            InlinePass(lambda function: not (quantisers and function.domain == QONNX_DOMAIN))(model)
    except (ir.passes.PassError, *_READER_ERRORS) as error:
        what = f"the functions of the model cannot be inlined: {_innermost(error)}"
        raise EdgecError(MODEL_DAMAGED, what, hint=_EXPORT_AGAIN) from error
    try:
        model.graph.sort()
    except ValueError as error:
        what = f"nodes of the model wait for each other in a cycle: {error}"
        raise EdgecError(MODEL_DAMAGED, what, hint=_EXPORT_AGAIN) from error


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _sha256(path: Path, external: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for part in (path, *external):
        try:
            with part.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        except OSError as error:
            what = f"{part} cannot be read: {error.strerror}"
            raise EdgecError(MODEL_NOT_READABLE, what, where=str(part), hint="check its permissions") from error
    return digest.hexdigest()
