"""Seeded ways to damage files, and hand-made hostile ones."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper

Mutation = Callable[[bytes], bytes]

_STRANGE_VALUES: tuple[object, ...] = (None, -1, 2**70, 1.5, "x" * 10, "../../etc/passwd", "\x00", [], {}, [[[]]], True)


def truncated(seed: int) -> Mutation:
    """Cut at a random place."""
    return lambda content: content[: random.Random(seed).randrange(len(content))]


def flipped(seed: int, bits: int = 8) -> Mutation:
    """Some random bits inverted."""

    def mutate(content: bytes) -> bytes:
        source = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(bits):
            damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        return bytes(damaged)

    return mutate


def shuffled(seed: int) -> Mutation:
    """A slice of random bytes in place of a part."""

    def mutate(content: bytes) -> bytes:
        source = random.Random(seed)
        start = source.randrange(len(content))
        noise = source.randbytes(source.randrange(1, 64))
        return content[:start] + noise + content[start + source.randrange(64) :]

    return mutate


def json_value_replaced(seed: int) -> Mutation:
    """One value of a JSON document replaced by a strange one of another type, or removed."""

    def mutate(content: bytes) -> bytes:
        source = random.Random(seed)
        document = json.loads(content)
        places = list(_places(document))
        holder, key = places[source.randrange(len(places))]
        old = holder[key]  # type: ignore[index]
        strange = [value for value in _STRANGE_VALUES if type(value) is not type(old)]
        if source.random() < 0.2 and isinstance(holder, dict):
            del holder[key]  # type: ignore[arg-type]
        else:
            holder[key] = strange[source.randrange(len(strange))]  # type: ignore[index]
        return json.dumps(document).encode()

    return mutate


def _places(value: object) -> Iterator[tuple[dict[str, object] | list[object], str | int]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from _places(item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index
            yield from _places(item)


_FILES_OF_OTHER_KINDS = {
    "empty": b"",
    "one byte": b"\x08",
    "zeros": bytes(1000),
    "text": b"this is not a model\n" * 20,
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "zip": b"PK\x03\x04" + bytes(100),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "pickle": b"\x80\x04\x95" + bytes(100),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
}


@cache
def hostile_models() -> dict[str, bytes]:
    """ONNX files that no tool should accept, by what is wrong with them."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])

    def model(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto] | None = None, **opsets: int) -> bytes:
        graph = helper.make_graph(nodes, "g", [x], [y], initializers or [])
        imports = [helper.make_opsetid(domain.replace("_", "."), version) for domain, version in opsets.items()]
        proto = helper.make_model(graph, opset_imports=imports or [helper.make_opsetid("", 17)], ir_version=8)
        return bytes(proto.SerializeToString())

    def external(location: str, **entries: str) -> bytes:
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 4], data_location=TensorProto.EXTERNAL)
        for key, value in {"location": location, **entries}.items():
            weight.external_data.add(key=key, value=value)
        return model([helper.make_node("Add", ["x", "w"], ["y"])], [weight])

    short = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1000], raw_data=b"1234")
    negative = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-4], raw_data=b"1234")
    huge = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40, 2**40], raw_data=b"1234")
    typeless = TensorProto(name="w", data_type=99, dims=[1], raw_data=b"1234")
    add = helper.make_node("Add", ["x", "w"], ["y"])
    return {
        **_FILES_OF_OTHER_KINDS,
        "no graph": onnx.ModelProto(ir_version=8).SerializeToString(),
        "cycle": model(
            [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Relu", ["b"], ["y"])]
        ),
        "missing value": model([helper.make_node("Add", ["x", "nothing"], ["y"])]),
        "value made twice": model([helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]),
        "no maker of the output": model([helper.make_node("Relu", ["x"], ["z"])]),
        "missing external data": external("weights.bin"),
        "path traversal": external("../../../../etc/passwd"),
        "absolute path": external("/etc/passwd"),
        "external folder": external("."),
        "external offset": external("model.onnx", offset="999999999", length="16"),
        "external negative": external("model.onnx", offset="-1"),
        "external length": external("model.onnx", length="99999999999999999999"),
        "short weight": model([add], [short]),
        "negative extent": model([add], [negative]),
        "huge weight": model([add], [huge]),
        "unknown type": model([add], [typeless]),
        "wrong types": model([helper.make_node("MatMul", ["x", "w"], ["y"])],
                             [helper.make_tensor("w", TensorProto.INT64, [4, 4], list(range(16)))]),
        "contradicting shapes": model([add], [helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])]),
        "text weights": model([add], [helper.make_tensor("w", TensorProto.STRING, [1], [b"hello"])]),
    }  # fmt: skip


@cache
def hostile_arrays() -> dict[str, bytes]:
    """`.npz` files that no tool should accept, for a model with one input `x` float32[1, 4]."""

    def saved(**arrays: object) -> bytes:
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        return stream.getvalue()

    def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return stream.getvalue()

    def npy(header: str, body: bytes = bytes(16)) -> bytes:
        text = header.encode() + b"\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body

    good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4)}"
    return {
        "empty": b"",
        "text": b"x,y\n1,2\n",
        "no arrays": zipped({}),
        "not arrays": zipped({"readme.txt": b"hello"}),
        "objects": saved(x=np.array([{}], dtype=object)),
        "strings": saved(x=np.array(["a", "b"])),
        "records": saved(x=np.zeros(4, dtype=[("a", "f4")])),
        "float64": saved(x=np.zeros((1, 4))),
        "integers": saved(x=np.zeros((1, 4), np.int64)),
        "scalar": saved(x=np.float32(1)),
        "too many axes": saved(x=np.zeros((1, 1, 1, 4), np.float32)),
        "other name": saved(picture=np.zeros((1, 4), np.float32)),
        "extra array": saved(x=np.zeros((1, 4), np.float32), z=np.zeros(1)),
        "bomb": zipped({"x.npy": npy(good.replace("(1, 4)", "(4194304, 4)"), bytes(2**26))[: 2**26]}),
        "huge shape": zipped({"x.npy": npy(good.replace("(1, 4)", "(99999999999, 4)"))}),
        "negative shape": zipped({"x.npy": npy(good.replace("(1, 4)", "(-1, 4)"))}),
        "overflowing shape": zipped({"x.npy": npy(good.replace("(1, 4)", "(4294967296, 4294967296, 0)"))}),
        "code as header": zipped({"x.npy": npy("__import__('os').system('true')")}),
        "unclosed header": zipped({"x.npy": npy("{" * 5000)}),
        "deep header": zipped({"x.npy": npy("(" * 4000 + ")" * 4000)}),
        "version 9": zipped({"x.npy": b"\x93NUMPY\x09\x00" + bytes(100)}),
        "other compression": zipped({"x.npy": npy(good)}, zipfile.ZIP_BZIP2),
        "same name twice": zipped({"x.npy": npy(good), "x": npy(good)}),
    }


@cache
def hostile_documents() -> dict[str, bytes]:
    """What no JSON or TOML reader should accept as one of our files."""
    return {
        "empty": b"",
        "null": b"null",
        "number": b"1",
        "list": b"[]",
        "object": b'{"a": 1}',
        "not UTF-8": b"\xff\xfe\x00",
        "NUL": bytes(100),
        "deep": b"[" * 100_000,
        "unclosed": b'{"schema": "edgec-',
        "not a number": b'{"schema": NaN}',
        "huge number": b'{"schema": 1e999999}',
        "long digits": b"[" + b"9" * 10_000 + b"]",
        "other schema": b'{"schema": "edgec-report/99"}',
        "TOML": b"[pass]\nname = 1\n",
        "unclosed TOML": b"[[pass",
        "keys twice": b"a = 1\na = 2\n",
        "terminal escapes": b'{"schema": "\\u001b[2J\\u0007"}',
    }
