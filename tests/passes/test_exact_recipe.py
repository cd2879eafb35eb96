"""The built-in recipe as a whole: the same outputs, nothing left to do, fast on large models."""

from __future__ import annotations

import os
import time
import tomllib
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from edgec.core.passes import Pass, PassContext
from edgec.passes.static_shapes import StaticShapes
from tests.passes.comparison import assert_same, model_of, op_types, outputs_of, random_feeds

SHAPES = {
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": {"x": (1, 3, 48, 192)},
    "silero_vad_op18_ifless.onnx": {"input": (1, 512)},
}
"""Extents that these models leave open beyond the batch."""


def installed_passes() -> dict[str, type[Pass]]:
    return {entry.name: entry.load() for entry in entry_points(group="edgec.passes")}


def exact_recipe(shapes: dict[str, tuple[int, ...]] | None = None) -> list[Pass]:
    recipe = tomllib.loads(files("edgec.passes.recipes").joinpath("exact.toml").read_text(encoding="utf-8"))
    known = installed_passes()
    steps = [known[row["name"]]() for row in recipe["pass"]]
    fixed = StaticShapes(StaticShapes.Options(shapes=shapes or {}))
    return [fixed if isinstance(step, StaticShapes) else step for step in steps]


def optimise(model: ir.Model, shapes: dict[str, tuple[int, ...]] | None = None) -> ir.Model:
    for step in exact_recipe(shapes):
        model = step.run(model, PassContext()).model
    return model


def test_every_pass_is_named_as_it_is_installed_and_documents_itself() -> None:
    for name, step in installed_passes().items():
        assert step.name == name
        assert "Case 1" in (step.__doc__ or "") or name == "inline-functions"
        assert all(field.description for field in step.Options.model_fields.values())


def shared_models() -> list[Path]:
    folder = os.environ.get("EDGEC_MODELS", "")
    return sorted(Path(folder).glob("*.onnx")) if folder else []


@pytest.mark.skipif(not os.environ.get("EDGEC_MODELS"), reason="EDGEC_MODELS names no folder with models")
@pytest.mark.parametrize("path", shared_models(), ids=lambda path: path.stem)
def test_real_models_compute_the_same(path: Path) -> None:
    model = ir.load(path)
    optimised = optimise(ir.load(path), SHAPES.get(path.name))
    generator = np.random.default_rng(0)
    feeds = {
        str(value.name): generator.standard_normal([int(d) for d in value.shape]).astype(np.float32)
        if value.dtype == ir.DataType.FLOAT
        else np.full([int(d) for d in value.shape], 16000, value.dtype.numpy())
        for value in optimised.graph.inputs
        if value.shape is not None and value.dtype is not None
    }
    assert_same(outputs_of(model, feeds), outputs_of(optimised, feeds), 1e-5)
    assert not {"BatchNormalization", "Shape", "Constant"} & set(op_types(optimised))
    first = ir.serde.serialize_model(optimised).SerializeToString()
    assert ir.serde.serialize_model(optimise(optimised)).SerializeToString() == first


def large_model(tmp_path: Path, layers: int = 30, width: int = 2048) -> Path:
    """Matrix products with 500 MB of weights in a file of their own."""
    generator = np.random.default_rng(0)
    constants = {f"w{i}": generator.standard_normal((width, width), dtype=np.float32) for i in range(layers)}
    nodes = []
    for i in range(layers):
        nodes.append(helper.make_node("MatMul", [f"h{i}" if i else "x", f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [f"h{i + 1}"]))
    proto = model_of(nodes, {"x": ("batch", width)}, [f"h{layers}"], constants)
    path = tmp_path / "large.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="large.bin")
    return path


@pytest.mark.slow
def test_half_a_gigabyte_takes_seconds(tmp_path: Path) -> None:
    path = large_model(tmp_path)
    started = time.perf_counter()
    model = optimise(ir.load(path))
    assert time.perf_counter() - started < 10
    assert all(isinstance(value.const_value, ir.ExternalTensor) for value in model.graph.initializers.values())


def test_results_do_not_depend_on_the_run() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["v"]),
        helper.make_node("Relu", ["v"], ["r"]),
        helper.make_node("Shape", ["r"], ["s"]),
        helper.make_node("Reshape", ["r", "s"], ["y"]),
    ]
    proto = model_of(nodes, {"x": ("n", 3, 8, 8)}, ["y"], {"w": np.ones((4, 3, 3, 3), np.float32)})
    runs = [ir.serde.serialize_model(optimise(ir.serde.deserialize_model(proto))).SerializeToString() for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_loop_over_captured_values_survives() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Dropout", ["outer"], ["d"]),
            helper.make_node("Add", ["c", "d"], ["c_out"]),
            helper.make_node("Identity", ["c_out"], ["seen"]),
            helper.make_node("Identity", ["go"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("c", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("c_out", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("seen", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Identity", ["x"], ["outer"]),
        helper.make_node("Loop", ["trips", "", "x"], ["y", "all"], body=body),
    ]
    proto = model_of(nodes, {"x": (2, 3)}, ["y", "all"], {"trips": np.array(3)})
    model = optimise(ir.serde.deserialize_model(proto))
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    feeds = random_feeds(proto)
    assert_same(outputs_of(proto, feeds), outputs_of(model, feeds))
    assert [tuple(value.shape) for value in model.graph.outputs if value.shape is not None] == [(2, 3), (3, 2, 3)]
