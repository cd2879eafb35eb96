"""Channel shuffles are one pass over channels-last data; what only looks like one is computed all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan
from edgec.backends.tvm.backend import TvmBackend
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from tests.backends.artifacts import run

X = np.random.default_rng(1).standard_normal((1, 8, 5, 6)).astype("float32")


def network(*exchanges: tuple[tuple[int, ...], tuple[int, ...]]) -> onnx.ModelProto:
    """Pooling, then each exchange of axes (shape between, permutation) and a reshape back, then pooling."""
    lines, shapes = [], []
    for index, (between, order) in enumerate(exchanges):
        shapes.append(f"int64[{len(between)}] between_{index} = {{{', '.join(map(str, between))}}}")
        lines += [
            f"split_{index} = Reshape (pooled, between_{index})",
            f"exchanged_{index} = Transpose <perm = {list(order)}> (split_{index})",
            f"back_{index} = Reshape (exchanged_{index}, whole)",
            f"y{index} = MaxPool <kernel_shape = [2, 2]> (back_{index})",
        ]
    outputs = ", ".join(f"float[1, 8, 3, 4] y{index}" for index in range(len(exchanges)))
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]> net (float[1, 8, 5, 6] x) => ({outputs})
        <int64[4] whole = {{1, 8, 4, 5}}, {", ".join(shapes)}>
        {{ pooled = MaxPool <kernel_shape = [2, 2]> (x) {" ".join(lines)} }}"""
    )


def build(model: onnx.ModelProto, folder: Path) -> BuildPlan:
    inferred = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    plan = TvmBackend().plan(inferred, load_target("host"), name="net", threads=1, progress=Silent())
    execute(plan, folder, Silent())
    return plan


def check(model: onnx.ModelProto, plan: BuildPlan, folder: Path) -> None:
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})
    made, _ = run(plan, folder, {"x": X})
    for name, contents in zip(sorted(made), expected, strict=True):
        np.testing.assert_array_equal(made[name], contents)


def test_shuffles_of_any_number_of_groups_take_one_pass(tmp_path: Path) -> None:
    order = (0, 2, 1, 3, 4)
    model = network(((1, 2, 4, 4, 5), order), ((1, 4, 2, 4, 5), order))
    plan = build(model, tmp_path)
    check(model, plan, tmp_path)
    inside = [layer.op for layer in plan.layers if layer.op not in ("MaxPool", "Transpose")]
    assert inside == ["Reshape", "Reshape"]
    assert [layer.op for layer in plan.layers].count("Transpose") == 3  # of the input and the two outputs


def test_other_exchanges_are_computed_as_they_are_written(tmp_path: Path) -> None:
    model = network(((1, 2, 4, 20), (0, 3, 1, 2)), ((1, 8, 2, 2, 5), (0, 2, 1, 3, 4)))
    check(model, build(model, tmp_path), tmp_path)
