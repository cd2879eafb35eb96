"""`edgec build --recipe int8`: from an ONNX file and samples to an artefact whose layers compute in integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgec.build import BuildOptions, BuildResult, build
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.graph.shapes import infer_shapes
from edgec.passes.quantize_cost import costs_for, slower_layers
from edgec.passes.quantize_layers import find_layers
from edgec.report.schema import Verified
from tests.models.builder import GraphBuilder

pytest.importorskip("tvm")


def network() -> onnx.ModelProto:
    """A residual block with a gate, and a classifier that most weights are in."""
    g = GraphBuilder("net", 17, 5)
    x = g.node("Relu", g.convolution(g.input("image", (1, 3, 12, 12)), (3, 16), 3))
    x = g.node("Relu", g.node("Add", x, g.convolution(g.node("Relu", g.convolution(x, (16, 16), 3)), (16, 16), 1)))
    x = g.node("Mul", x, g.node("HardSigmoid", g.convolution(g.node("GlobalAveragePool", x), (16, 16), 1)))
    x = g.node("Flatten", g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    g.output(g.node("Gemm", x, g.weight(64, 576), g.weight(64), transB=1), (1, 64))
    return g.model()


def built(folder: Path, recipe: str) -> BuildResult:
    onnx.save(network(), folder / "net.onnx")
    images = np.random.default_rng(0).normal(size=(24, 3, 12, 12)).astype(np.float32)
    np.savez(folder / "samples.npz", **{"calibration/image": images[:16], "evaluation/image": images[16:]})
    options = BuildOptions(
        model=folder / "net.onnx",
        target="host",
        recipe=recipe,
        data=str(folder / "samples.npz"),
        out=folder / "artefact",
    )
    return build(options, Silent())


def test_layers_compute_in_integers(tmp_path: Path) -> None:
    recipe = tmp_path / "all.toml"
    recipe.write_text(
        '[[pass]]\nname = "fold-constants"\n\n[[pass]]\nname = "quantize"\nspeed = "ignored"\n', encoding="utf-8"
    )
    report = built(tmp_path, str(recipe)).report
    step = next(step for step in report.passes if step.name == "quantize")
    assert not step.skipped
    assert step.stats["layers in integers"] == 5
    assert {layer.precision for layer in report.layers if layer.macs} == {"uint8"}
    assert [fallback for fallback in report.fallbacks if "Add" in fallback.node] == []
    assert isinstance(report.verification, Verified)
    assert report.verification.max_relative_error < 0.02
    assert step.fidelity.snr_db > 25


def test_layers_that_integers_slow_down_stay_float_and_the_report_says_why(tmp_path: Path) -> None:
    costs = costs_for(load_target("host"))
    if costs is None:
        pytest.skip("nobody measured layers on cores like those of this machine")
    model = ir.from_proto(network())
    infer_shapes(model)
    slow = slower_layers(find_layers(model, ())[0], load_target("host"))
    report = built(tmp_path, "int8").report
    step = next(step for step in report.passes if step.name == "quantize")
    assert {skip.node: skip.reason for skip in step.skipped} == {
        name: f"stays float: {reason}" for name, reason in slow.items()
    }
    assert step.stats["layers compared with fp32 on"] == f"{costs.target}, by {costs.quantity}"
    real = [layer.name for layer in report.layers if layer.macs and layer.precision == "float32"]
    assert sorted(real) == sorted(slow)


@pytest.mark.parametrize("bits", [2, 4])
def test_fewer_bits_make_a_smaller_artefact(bits: int, tmp_path: Path) -> None:
    recipe = tmp_path / "narrow.toml"
    rules = f'weight_bits = {bits}\nmixed = [{{ layers = "Conv*", weights = 8 }}]\nmax_loss = 1.0\nmin_snr_db = -100.0'
    recipe.write_text(f'[[pass]]\nname = "fold-constants"\n\n[[pass]]\nname = "quantize"\n{rules}\n', encoding="utf-8")
    report = built(tmp_path, str(recipe)).report
    assert isinstance(report.verification, Verified)
    assert report.verification.max_relative_error < 0.02
    convolutions = 27 * 16 + 144 * 16 + 256 + 256
    expected = 64 * 576 * bits // 8 + convolutions
    assert expected <= report.memory.weights_bytes < expected + 4096
