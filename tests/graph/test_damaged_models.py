"""Whatever a model file holds, loading it either works or ends in an error with a code, a reason and a hint."""

from __future__ import annotations

import gzip
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.core.codes.model import (
    EXTERNAL_DATA,
    MODEL_DAMAGED,
    MODEL_FEATURE,
    MODEL_NOT_READABLE,
    MODEL_VERSION,
    NOT_ONNX,
    SHAPES_CONTRADICT,
)
from edgec.core.errors import EdgecError, ErrorCode, ExitStatus
from edgec.graph.load import load_model
from tests.models import ALL_MODELS, conv_net, gru_net, if_net, loop_net, quantized_net


def refusal(path: Path) -> EdgecError | None:
    """The error that loading ends in, checked for what a user needs; None if the model loads."""
    started = time.perf_counter()
    found: EdgecError | None = None
    try:
        load_model(path)
    except EdgecError as error:
        found = error
    assert time.perf_counter() - started < 10
    if found is not None:
        assert found.code.status in (ExitStatus.USAGE, ExitStatus.UNSUPPORTED), found
        assert found.what
        assert found.hint
    return found


def refused(path: Path, code: ErrorCode, part: str = "") -> None:
    error = refusal(path)
    assert error is not None
    assert error.code is code, error
    assert part in f"{error.what} {error.hint} {error.where}"


def write(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


# Fuzzing ------------------------------------------------------------------------------------------------------------


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def overwrite(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    length = rng.choice((1, 4, 64))
    return data[:start] + rng.randbytes(length) + data[start + length :]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 64) :]


def swap_text(data: bytes, rng: random.Random) -> bytes:
    words = [b"Conv", b"Gemm", b"image", b"kernel_shape", b"strides", b"GRU", b"If", b"Loop", b"pads", b"group"]
    present = [word for word in words if word in data]
    word = rng.choice(present) if present else b"\n"
    return data.replace(word, rng.choice([w[: len(word)].ljust(len(word), b"x") for w in words]), rng.choice((1, -1)))


DAMAGES = (flip_bits, truncate, overwrite, cut_out, swap_text)
FUZZED = (conv_net, gru_net, if_net, loop_net, quantized_net)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("generator", FUZZED)
def test_damaged_bytes(
    tmp_path: Path, generator: Callable[..., onnx.ModelProto], damage: Callable[[bytes, random.Random], bytes]
) -> None:
    data = generator().SerializeToString()
    rng = random.Random(f"{generator.__name__} {damage.__name__}")
    for number in range(40):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(damage(data, rng))
        refusal(path)


@pytest.mark.parametrize("name", sorted(ALL_MODELS))
def test_damaged_structure(tmp_path: Path, name: str) -> None:
    """Damage outside of the weights, where every bit means something."""
    model = ALL_MODELS[name]()
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 64:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            zeros = numpy_helper.from_array(np.zeros(tuple(tensor.dims), dtype), tensor.name)
            tensor.CopyFrom(zeros)
    data = model.SerializeToString()
    meaningful = [i for i, byte in enumerate(data) if byte]
    rng = random.Random(name)
    for number in range(30):
        damaged = bytearray(data)
        damaged[rng.choice(meaningful)] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(bytes(damaged))
        refusal(path)


# Files that are no models -------------------------------------------------------------------------------------------


def test_missing_file_folder_and_empty_file(tmp_path: Path) -> None:
    refused(tmp_path / "missing.onnx", MODEL_NOT_READABLE, "does not exist")
    write(tmp_path, conv_net())
    refused(tmp_path, MODEL_NOT_READABLE, "model.onnx")
    (tmp_path / "empty.onnx").touch()
    refused(tmp_path / "empty.onnx", MODEL_NOT_READABLE, "empty")
    refused(Path("/dev/null"), MODEL_NOT_READABLE)
    refused(tmp_path / "a\0b", MODEL_NOT_READABLE)
    refused(tmp_path / ("x" * 5000), MODEL_NOT_READABLE)
    loop = tmp_path / "loop.onnx"
    loop.symlink_to(loop)
    refused(loop, MODEL_NOT_READABLE)


def test_other_formats_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x")
    refused(path, NOT_ONNX, "zip")
    path.write_bytes(gzip.compress(conv_net().SerializeToString()))
    refused(path, NOT_ONNX, "gzip")
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    refused(path, NOT_ONNX, "git lfs pull")
    path.write_text(onnx.printer.to_text(conv_net()))
    refused(path, NOT_ONNX, "text")
    path.write_text(str(conv_net()))
    refused(path, NOT_ONNX, "text")
    path.write_bytes(b"\x00" * 100)
    refused(path, NOT_ONNX)
    path.write_bytes(random.Random(0).randbytes(100_000))
    refused(path, NOT_ONNX)
    path.write_text("hello, world")
    refused(path, NOT_ONNX)


# Protocol buffers that are no networks ------------------------------------------------------------------------------


def edited(edit: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = conv_net()
    edit(model)
    return model


def set_first_extent(model: onnx.ModelProto, extent: int) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = extent


def make_cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[1].output[0]


def grow_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 1 << 40


def call_itself(model: onnx.ModelProto) -> None:
    model.functions.append(
        helper.make_function("local", "Twice", ["x"], ["y"], [helper.make_node("Twice", ["x"], ["y"], domain="local")],
                             [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)])
    )  # fmt: skip
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.graph.node[1].CopyFrom(
        helper.make_node("Twice", list(model.graph.node[1].input[:1]), list(model.graph.node[1].output), domain="local")
    )


def explode(model: onnx.ModelProto) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    for level in range(40):
        inner, domain = ("Relu", "") if level == 0 else (f"F{level - 1}", "local")
        nodes = [
            helper.make_node(inner, ["x"], ["z"], domain=domain),
            helper.make_node(inner, ["z"], ["y"], domain=domain),
        ]
        model.functions.append(helper.make_function("local", f"F{level}", ["x"], ["y"], nodes, imports))
    model.opset_import.append(imports[1])
    old = model.graph.node[2]
    old.CopyFrom(helper.make_node("F39", list(old.input), list(old.output), domain="local"))


def nest(model: onnx.ModelProto) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    for level in range(2000):
        inner, domain = ("Relu", "") if level == 0 else (f"F{level - 1}", "local")
        nodes = [helper.make_node(inner, ["x"], ["y"], domain=domain)]
        model.functions.append(helper.make_function("local", f"F{level}", ["x"], ["y"], nodes, imports))
    model.opset_import.append(imports[1])
    old = model.graph.node[2]
    old.CopyFrom(helper.make_node("F1999", list(old.input), list(old.output), domain="local"))


def half_weight(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // 2]


def reshape(model: onnx.ModelProto, op: str, shape: list[int]) -> None:
    node = next(node for node in model.graph.node if node.op_type == op)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    weight.dims[:] = shape


STRUCTURES: dict[str, tuple[Callable[[onnx.ModelProto], object], ErrorCode, str]] = {
    "no graph": (lambda m: m.ClearField("graph"), NOT_ONNX, "no graph"),
    "no opset": (lambda m: m.ClearField("opset_import"), MODEL_DAMAGED, "opset_import"),
    "opset of the future": (lambda m: setattr(m.opset_import[0], "version", 99), MODEL_VERSION, "99"),
    "ancient opset": (lambda m: setattr(m.opset_import[0], "version", 1), MODEL_VERSION, "opset 1"),
    "format of the future": (lambda m: setattr(m, "ir_version", 99), MODEL_VERSION, "99"),
    "no format version": (lambda m: m.ClearField("ir_version"), MODEL_VERSION, "ir_version"),
    "cycle": (make_cycle, MODEL_DAMAGED, "cycle"),
    "node feeds itself": (
        lambda m: m.graph.node[1].input.__setitem__(0, m.graph.node[1].output[0]), MODEL_DAMAGED, "cycle"),
    "undefined input": (lambda m: m.graph.node[0].input.__setitem__(0, "ghost"), MODEL_DAMAGED, "ghost"),
    "undefined output": (lambda m: setattr(m.graph.output[0], "name", "ghost"), MODEL_DAMAGED, "ghost"),
    "no outputs": (lambda m: m.graph.ClearField("output"), MODEL_DAMAGED, "outputs"),
    "value computed twice": (
        lambda m: m.graph.node[1].output.__setitem__(0, m.graph.node[0].output[0]), MODEL_DAMAGED, "twice"),
    "weight defined twice": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), MODEL_DAMAGED, "two"),
    "negative extent": (lambda m: set_first_extent(m, -5), MODEL_DAMAGED, "-5"),
    "immense extent": (lambda m: set_first_extent(m, 1 << 60), MODEL_DAMAGED, str(1 << 60)),
    "immense weight": (grow_weight, MODEL_DAMAGED, "bytes"),
    "half a weight": (half_weight, MODEL_DAMAGED, "bytes"),
    "negative weight": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -8), MODEL_DAMAGED, "-8"),
    "unknown element type": (lambda m: setattr(m.graph.initializer[0], "data_type", 77), MODEL_DAMAGED, "77"),
    "unknown input type": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 77), MODEL_DAMAGED, "77"),
    "text weight": (
        lambda m: m.graph.initializer[0].CopyFrom(helper.make_tensor("t", TensorProto.STRING, [1], [b"a"])),
        MODEL_FEATURE, "text"),
    "text input": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING), MODEL_FEATURE, "text"),
    "sequence input": (
        lambda m: m.graph.input.append(helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, [1])),
        MODEL_FEATURE, "sequence"),
    "unknown operator": (lambda m: setattr(m.graph.node[0], "op_type", "Convolve"), MODEL_FEATURE, "Convolve"),
    "no operator": (lambda m: m.graph.node[0].ClearField("op_type"), MODEL_DAMAGED, "operator"),
    "domain not imported": (lambda m: setattr(m.graph.node[0], "domain", "acme"), MODEL_DAMAGED, "acme"),
    "unknown attribute": (lambda m: setattr(m.graph.node[0].attribute[0], "name", "kernel"), MODEL_DAMAGED, "kernel"),
    "wrong attribute type": (
        lambda m: m.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("kernel_shape", 3.0)),
        MODEL_DAMAGED, "kernel_shape"),
    "too few inputs": (lambda m: m.graph.node[0].ClearField("input"), MODEL_DAMAGED, "inputs"),
    "shapes contradict": (lambda m: m.graph.initializer[0].dims.__setitem__(slice(None), [8, 9, 3, 1]),
                          SHAPES_CONTRADICT, "Conv"),
    "kernels contradict": (lambda m: m.graph.initializer[0].dims.__setitem__(slice(None), [8, 3, 1, 9]),
                           SHAPES_CONTRADICT, "Conv"),
    "matrices contradict": (lambda m: reshape(m, "Gemm", [16, 10]), SHAPES_CONTRADICT, "Gemm"),
    "types contradict": (
        lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.INT64),
        SHAPES_CONTRADICT, "Conv"),
    "function calls itself": (call_itself, MODEL_DAMAGED, "without end"),
    "functions nest deeply": (nest, MODEL_DAMAGED, "nodes"),
    "functions explode": (explode, MODEL_DAMAGED, "nodes"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(STRUCTURES))
def test_broken_rule(tmp_path: Path, case: str) -> None:
    edit, code, part = STRUCTURES[case]
    refused(write(tmp_path, edited(edit)), code, part)


def test_every_unknown_operator_is_listed(tmp_path: Path) -> None:
    model = conv_net()
    model.graph.node[0].op_type, model.graph.node[1].op_type = "Alpha", "Beta"
    error = refusal(write(tmp_path, model))
    assert error is not None
    assert len(error.details) == 2


# Weights in other files ---------------------------------------------------------------------------------------------


def external(folder: Path, **entries: str) -> Path:
    """A model whose first weight lies in `weights.bin`, with the given entries changed."""
    model = conv_net()
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    (folder / "weights.bin").write_bytes(b"\0" * 16 + data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "weights.bin", "offset": "16", "length": str(len(data))} | entries).items():
        tensor.external_data.add(key=key, value=value)
    return write(folder, model)


def test_sound_external_data_load(tmp_path: Path) -> None:
    path = external(tmp_path)
    loaded = load_model(path)
    expected = numpy_helper.to_array(conv_net().graph.initializer[0])
    name = conv_net().graph.initializer[0].name
    tensor = loaded.model.graph.initializers[name].const_value
    assert tensor is not None
    np.testing.assert_array_equal(tensor.numpy(), expected)
    before = loaded.sha256
    (tmp_path / "weights.bin").write_bytes(b"\1" * (16 + expected.nbytes))
    assert load_model(path).sha256 != before


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ({"location": "gone.bin"}, "missing"),
        ({"location": "/etc/passwd"}, "outside"),
        ({"location": "../weights.bin"}, "outside"),
        ({"location": "a/../../weights.bin"}, "outside"),
        ({"location": "..\\weights.bin"}, "outside"),
        ({"location": ""}, "no data file"),
        ({"location": "x" * 5000}, ""),
        ({"location": "."}, "missing"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "99999999999"}, "cut short"),
        ({"offset": "9" * 30}, "offset"),
        ({"length": "1"}, "bytes"),
        ({"length": "many"}, "length"),
    ],
)
def test_unsound_external_data(tmp_path: Path, entries: dict[str, str], part: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4096)
    refused(external(folder, **entries), EXTERNAL_DATA, part)


def test_external_data_through_links(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = external(folder)
    secret = tmp_path / "secret.bin"
    (folder / "weights.bin").rename(secret)
    (folder / "weights.bin").symlink_to(secret)
    refused(path, EXTERNAL_DATA, "link")
    # A model cache: model and data are links into one store.
    path.rename(tmp_path / "blob")
    path.symlink_to(tmp_path / "blob")
    assert refusal(path) is None


def test_truncated_external_data(tmp_path: Path) -> None:
    path = external(tmp_path)
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[:-1])
    refused(path, EXTERNAL_DATA, "cut short")
    (tmp_path / "weights.bin").write_bytes(b"")
    refused(path, EXTERNAL_DATA, "cut short")
