"""Networks whose middle a graphics processor cannot run: built, run on an OpenCL driver, and equal to the model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgec.build import BuildOptions, build
from edgec.core.progress import Silent
from edgec.report.schema import Report, Verified
from tests.models import if_net, loop_net, lstm_net
from tests.models.builder import GraphBuilder


def running_sum_net() -> onnx.ModelProto:
    """A product, a running sum of 2 x 192 elements, and a product: only the sum has no parallel form."""
    g = GraphBuilder("running_sum_net", 17)
    x = g.node("Relu", g.node("MatMul", g.input("x", (2, 16)), g.weight(16, 192)))
    x = g.node("CumSum", x, g.constant(1, np.int64))
    g.node("MatMul", x, g.weight(192, 8), output="y")
    g.output("y", (2, 8))
    return g.model()


def joined_net() -> onnx.ModelProto:
    """Columns of a joined tensor made by either side, and the processor's own as an output of the network."""
    g = GraphBuilder("joined_net", 17)
    x = g.node("MatMul", g.input("x", (4, 16)), g.weight(16, 96))
    summed = g.node("CumSum", x, g.constant(1, np.int64), output="summed")
    more = g.node("Tanh", g.node("MatMul", summed, g.weight(96, 96)))
    joined = g.node("Concat", g.node("Sigmoid", x), g.node("CumSum", more, g.constant(1, np.int64)), more, axis=1)
    g.node("MatMul", joined, g.weight(288, 8), output="y")
    g.output("y", (4, 8))
    g.output("summed", (4, 96))
    return g.model()


def _built(model: onnx.ModelProto, folder: Path, target: str = "opencl-generic") -> tuple[Path, Report]:
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    options = BuildOptions(model=path, target=target, out=folder / "artifact")
    return folder / "artifact", build(options, Silent()).report


@pytest.mark.parametrize(
    "network", [running_sum_net, joined_net, if_net, loop_net, lstm_net], ids=lambda network: network.__name__
)
def test_a_network_with_a_part_on_the_processor_equals_the_model(
    network: Callable[[], onnx.ModelProto], opencl: Path, tmp_path: Path
) -> None:
    _, report = _built(network(), tmp_path)
    assert isinstance(report.verification, Verified)
    assert report.verification.where == "opencl"
    assert report.verification.max_relative_error <= 1e-4


def test_the_part_lies_between_launches_and_the_report_names_it(opencl: Path, tmp_path: Path) -> None:
    folder, report = _built(running_sum_net(), tmp_path)
    plan = json.loads((folder / "launch_plan.json").read_text(encoding="utf-8"))
    (call,) = plan["host_calls"]
    assert 0 < call["before"] < len(plan["launches"])
    assert [place["size_bytes"] for place in (*call["reads"], *call["writes"])] == [2 * 192 * 4] * 2
    (found,) = [fallback for fallback in report.fallbacks if "runs on the processor" in fallback.reason]
    assert [found.node] == call["nodes"]
    assert "0 % of the network's multiply-accumulates" in found.reason


def test_few_elements_stay_on_the_graphics_processor(opencl: Path, tmp_path: Path) -> None:
    g = GraphBuilder("short_sum_net", 17)
    g.node("CumSum", g.input("x", (2, 16)), g.constant(1, np.int64), output="y")
    g.output("y", (2, 16))
    folder, report = _built(g.model(), tmp_path)
    assert json.loads((folder / "launch_plan.json").read_text(encoding="utf-8"))["host_calls"] == []
    assert any("single thread" in fallback.reason for fallback in report.fallbacks)


@pytest.mark.parametrize("target", ["jetson-nano", "android-mali"])
def test_other_machines_get_their_own_code(target: str, tmp_path: Path) -> None:
    folder, _ = _built(running_sum_net(), tmp_path, target)
    assert (folder / "lib" / "libnetwork.a").is_file()
    source = (folder / "src" / "network.c").read_text(encoding="utf-8")
    assert "network_part_0, 2, 0, 1, 1" in source or "network_part_0, 1, 0, 1, 1" in source
