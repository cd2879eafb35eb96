"""`edgec build` as a whole: from an ONNX file to an artefact that agrees with ONNX Runtime."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgec.build import BuildOptions, BuildResult, build
from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.manifest import REPORT_FILES
from edgec.core.metric import Mode, Unavailable, Value
from edgec.core.progress import Silent
from edgec.report.schema import Verified
from edgec.verify import verify
from tests.models import ALL_MODELS

SHAPES = {
    "ch_ppocr_mobile_v2.0_cls_infer": {"x": (1, 3, 48, 192)},
    "silero_vad_op18_ifless": {"input": (1, 576)},
    "detector_net": {"image": (1, 3, 32, 48)},
}
needs_emulator = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-aarch64 is not installed")


def built(model: Path, target: str, out: Path, **changes: object) -> BuildResult:
    options = {"shapes": SHAPES.get(model.stem, {}), **changes}
    return build(BuildOptions(model=model, target=target, out=out, **options), Silent())


def assert_verified(result: BuildResult, where: str) -> None:
    verification = result.report.verification
    assert isinstance(verification, Verified), verification
    assert verification.where == where
    assert verification.max_relative_error <= 1e-4 or verification.tolerance == 2e-2


@needs_emulator
@pytest.mark.parametrize("name", sorted(ALL_MODELS))
def test_every_kind_of_network_for_a_device(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    onnx.save(ALL_MODELS[name](), path)
    result = built(path, "raspberry-pi-4", tmp_path / "artefact")
    assert_verified(result, "qemu-aarch64")
    assert isinstance(result.report.metrics.instructions, Value)
    assert result.report.metrics.instructions.mode is Mode.SIMULATED
    assert isinstance(result.report.metrics.latency_ms, Value)
    assert result.report.metrics.latency_ms.mode is Mode.PREDICTED


def test_the_host_is_measured_and_its_layers_add_up(small_model: Path, tmp_path: Path) -> None:
    report = built(small_model, "host", tmp_path / "artefact").report
    latency, sums = report.metrics.latency_ms, report.reconciliation
    assert isinstance(latency, Value)
    assert latency.mode is Mode.MEASURED
    assert sums is not None
    assert sums.layers_ms + sums.between_layers_ms == pytest.approx(latency.value)
    assert isinstance(report.metrics.accuracy, Unavailable)


def test_equal_builds_have_equal_bytes(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / "one", tmp_path / "another" / "place"]
    for number, folder in enumerate(folders):
        monkeypatch.setenv("EDGEC_CACHE", str(tmp_path / f"cache-{number}"))
        built(small_model, "raspberry-pi-4", folder, keep_steps=True)
    paths = [sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file()) for folder in folders]
    assert paths[0] == paths[1]
    artefact = [str(path) for path in paths[0] if path.name not in REPORT_FILES]
    same, different, unreadable = filecmp.cmpfiles(*folders, artefact, shallow=False)
    assert (different, unreadable) == ([], [])
    assert "manifest.json" in same


@pytest.mark.parametrize("target", ["jetson-nano", "ice40-hx8k", "pynq-z2", "cortex-m7"])
def test_threads_that_nothing_would_run_on_are_refused(target: str, small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgecError) as caught:
        built(small_model, target, tmp_path / "artefact", threads=4)
    assert caught.value.code.code == "EC0407"
    assert list(tmp_path.iterdir()) == []


def test_a_network_may_be_named_as_edgecs_own_files_are(small_model: Path, tmp_path: Path) -> None:
    shutil.copyfile(small_model, tmp_path / "edgec.onnx")
    built(tmp_path / "edgec.onnx", "cortex-m7", tmp_path / "artefact")
    assert {path.name for path in (tmp_path / "artefact/include").iterdir()} == {"edgec.h", "model_edgec.h"}


def test_labelled_data_give_an_accuracy(small_model: Path, tmp_path: Path) -> None:
    shape = onnx.load(small_model).graph.input[0].type.tensor_type.shape
    extents = [max(1, extent.dim_value) for extent in shape.dim][1:]
    inputs = np.random.default_rng(0).standard_normal((40, *extents), dtype=np.float32)
    np.savez(tmp_path / "data.npz", x=inputs, y=np.zeros(40, np.int64))
    report = built(small_model, "raspberry-pi-4", tmp_path / "artefact", data=str(tmp_path / "data.npz")).report
    assert isinstance(report.metrics.accuracy, Value)
    assert report.metrics.accuracy == report.metrics.accuracy_original


def test_every_unsupported_node_is_listed_and_nothing_is_left(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("NonZero", ["x"], ["places"], name="first"),
        onnx.helper.make_node("Unique", ["x"], ["values"], name="second"),
    ]
    value = onnx.helper.make_tensor_value_info
    outputs = [value("places", onnx.TensorProto.INT64, None), value("values", onnx.TensorProto.FLOAT, None)]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", onnx.TensorProto.FLOAT, [2, 3])], outputs)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "model.onnx")
    with pytest.raises(EdgecError) as caught:
        built(tmp_path / "model.onnx", "host", tmp_path / "artefact")
    assert caught.value.code.status is ExitStatus.UNSUPPORTED
    assert [detail.split(" ")[0] for detail in caught.value.details] == ["first", "second"]
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith("lock")) == ["model.onnx"]


@needs_emulator
def test_real_networks_for_both_targets(real_models: list[Path], tmp_path: Path) -> None:
    for model in real_models:
        for target, where in (("host", "host"), ("raspberry-pi-4", "qemu-aarch64")):
            result = built(model, target, tmp_path / model.stem / target)
            assert_verified(result, where)
            assert verify(result.folder, samples=1, seed=1, progress=Silent()).passed
