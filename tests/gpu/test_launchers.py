"""The launchers in C, on two kernels written by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgec.backends.executor import execute
from edgec.backends.gpu.backend import plan_of_kernels
from edgec.backends.plan import BuildPlan
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.core.target import Target
from edgec.core.target_files import load_target
from edgec.measure.running import can_run, run_artifact
from tests.gpu import hand_made

X = np.random.default_rng(0).standard_normal((hand_made.ROWS, hand_made.DEPTH)).astype(np.float32)


def _cuda_here() -> Target:
    target = load_target("jetson-nano")
    compiler = target.compiler.model_copy(update={"triple": "native", "cpu": "native", "link_triple": "native"})
    return target.model_copy(update={"compiler": compiler})


@pytest.fixture(scope="module")
def opencl_artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildPlan]:
    folder = tmp_path_factory.mktemp("opencl")
    plan = plan_of_kernels(hand_made.hand_made("opencl"), load_target("opencl-generic"), Silent())
    execute(plan, folder, Silent())
    return folder, plan


@pytest.fixture(scope="module")
def cuda_artifact(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildPlan]:
    pytest.importorskip("nvidia.cuda_nvrtc", reason="NVRTC is not installed (pip install 'edgec[gpu]')")
    folder = tmp_path_factory.mktemp("cuda")
    plan = plan_of_kernels(hand_made.hand_made("cuda"), _cuda_here(), Silent())
    execute(plan, folder, Silent())
    return folder, plan


def _close(outputs: dict[str, np.ndarray]) -> None:
    for name, array in hand_made.expected(X).items():
        np.testing.assert_allclose(outputs[name], array, atol=1e-5)


def test_opencl_computes_what_the_kernels_say(opencl: Path, opencl_artifact: tuple[Path, BuildPlan]) -> None:
    folder, plan = opencl_artifact
    assert can_run(plan.interface) is None
    made = run_artifact(folder, plan.interface, [{"x": X}], iterations=3, trace=True)
    _close(made.outputs[0])
    assert len(made.step_ns[0]) == len(plan.layers)


def test_compiled_kernels_are_kept_whole_and_a_damaged_file_is_made_anew(
    opencl: Path, opencl_artifact: tuple[Path, BuildPlan]
) -> None:
    folder, plan = opencl_artifact
    run_artifact(folder, plan.interface, [{"x": X}])
    (kept,) = opencl.iterdir()
    whole = kept.read_bytes()
    run_artifact(folder, plan.interface, [{"x": X}])
    assert kept.read_bytes() == whole
    kept.write_bytes(whole[: len(whole) // 2])
    _close(run_artifact(folder, plan.interface, [{"x": X}]).outputs[0])
    assert kept.read_bytes() == whole


def test_nothing_is_kept_where_nothing_can_be_written(
    opencl: Path, opencl_artifact: tuple[Path, BuildPlan], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, plan = opencl_artifact
    (tmp_path / "file").write_bytes(b"")
    for place in ("", str(tmp_path / "file" / "folder")):
        monkeypatch.setenv("EDGEC_GPU_CACHE", place)
        _close(run_artifact(folder, plan.interface, [{"x": X}]).outputs[0])
    assert not opencl.exists()


def test_the_library_for_python_runs_it_too(opencl: Path, opencl_artifact: tuple[Path, BuildPlan]) -> None:
    folder, _ = opencl_artifact
    np.savez(folder / "x.npz", x=X)
    subprocess.run([sys.executable, "run.py", "x.npz", "y.npz"], cwd=folder, check=True)
    with np.load(folder / "y.npz") as made:
        _close(dict(made))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("EDGEC_OPENCL_LIBRARY", "/nowhere/libOpenCL.so", "no OpenCL driver"),
        ("EDGEC_OPENCL_DEVICE", "7", "EDGEC_OPENCL_DEVICE is 7"),
    ],
)
def test_what_is_missing_is_said(
    opencl: Path,
    opencl_artifact: tuple[Path, BuildPlan],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    said: str,
) -> None:
    folder, plan = opencl_artifact
    monkeypatch.setenv(variable, value)
    with pytest.raises(EdgecError) as raised:
        run_artifact(folder, plan.interface, [{"x": X}])
    assert any(said in line for line in raised.value.details)
    assert any("graphics processor" in line for line in raised.value.details)


def test_a_group_larger_than_the_device_allows_is_refused(opencl: Path, tmp_path: Path) -> None:
    kernels = hand_made.hand_made("opencl", block=32)
    too_large = replace(kernels.plan.launches[0], grid=(1, 1, 1), block=(8192, 1, 1))
    plan = replace(kernels.plan, launches=(too_large, *kernels.plan.launches[1:]))
    built = plan_of_kernels(replace(kernels, plan=plan), load_target("opencl-generic"), Silent())
    execute(built, tmp_path / "artifact", Silent())
    with pytest.raises(EdgecError) as raised:
        run_artifact(tmp_path / "artifact", built.interface, [{"x": X}])
    assert any("scale_and_add" in line for line in raised.value.details)


def test_cuda_replays_the_launches_as_a_graph(stub_cuda: Path, cuda_artifact: tuple[Path, BuildPlan]) -> None:
    folder, plan = cuda_artifact
    run_artifact(folder, plan.interface, [{"x": X}], iterations=2)
    calls = stub_cuda.read_text(encoding="ascii").splitlines()
    assert calls[:2] == ["code ELF", f"write {4 * (4 * 8 + 8 * 16)}"]
    assert calls[2].startswith("capture launch scale_and_add grid 4,1,1 block 8,1,1")
    assert calls[3].startswith("capture launch multiply grid 1,4,1 block 16,1,1")
    assert calls[4] == "capture copy 128"
    assert calls[5:] == ["write 128", "graph", "read 256", "read 128"] * 2


def test_cuda_launches_one_by_one_without_graphs_and_for_tracing(
    stub_cuda: Path, cuda_artifact: tuple[Path, BuildPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = cuda_artifact
    made = run_artifact(folder, plan.interface, [{"x": X}], trace=True)
    assert len(made.step_ns[0]) == 2
    np.testing.assert_array_equal(made.outputs[0]["z"], X)
    stub_cuda.unlink()
    monkeypatch.setenv("STUB_CUDA_REFUSES_GRAPHS", "1")
    run_artifact(folder, plan.interface, [{"x": X}])
    calls = stub_cuda.read_text(encoding="ascii").splitlines()
    assert "graph" not in calls
    given = f"{X[0, 0]:g}"
    assert f"launch scale_and_add grid 4,1,1 block 8,1,1 first {given}" in calls


def test_code_from_the_board_comes_before_that_of_the_artefact(
    stub_cuda: Path, cuda_artifact: tuple[Path, BuildPlan], tmp_path: Path
) -> None:
    folder, plan = cuda_artifact
    compiler = tmp_path / "tools" / "nvcc"
    compiler.parent.mkdir()
    compiler.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\nprintf .PTX > "$2"\n', encoding="ascii")
    compiler.chmod(0o755)
    environment = {**os.environ, "PATH": f"{compiler.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "compile_on_board.sh"], cwd=folder, env=environment, check=True)
    run_artifact(folder, plan.interface, [{"x": X}])
    assert stub_cuda.read_text(encoding="ascii").splitlines()[0] == "code PTX"


def test_code_that_does_not_load_names_the_way_out(
    stub_cuda: Path, cuda_artifact: tuple[Path, BuildPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = cuda_artifact
    monkeypatch.setenv("STUB_CUDA_REFUSES_CODE", "1")
    with pytest.raises(EdgecError) as raised:
        run_artifact(folder, plan.interface, [{"x": X}])
    assert any("compile_on_board.sh" in line for line in raised.value.details)


def test_without_driver_or_device_an_artefact_is_unverified(
    cuda_artifact: tuple[Path, BuildPlan], stub_cuda: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = cuda_artifact
    assert can_run(plan.interface) is None
    monkeypatch.setenv("STUB_CUDA_INIT", "100")
    assert "finds no device" in str(can_run(plan.interface))
    monkeypatch.setenv("EDGEC_CUDA_LIBRARY", "/nowhere/libcuda.so.1")
    assert "no driver for CUDA" in str(can_run(plan.interface))
    elsewhere = plan.interface.model_copy(update={"machine": "riscv64"})
    assert "riscv64" in str(can_run(elsewhere))


def test_the_processor_computes_between_launches(opencl: Path, tmp_path: Path) -> None:
    plan = plan_of_kernels(hand_made.doubled_between("opencl"), load_target("opencl-generic"), Silent())
    execute(plan, tmp_path / "artifact", Silent())
    made = run_artifact(tmp_path / "artifact", plan.interface, [{"x": X}], iterations=2)
    np.testing.assert_allclose(made.outputs[0]["y"], 2 * hand_made.expected(X)["y"], atol=1e-5)


def test_cuda_replays_a_graph_on_each_side_of_the_processor(stub_cuda: Path, tmp_path: Path) -> None:
    pytest.importorskip("nvidia.cuda_nvrtc", reason="NVRTC is not installed (pip install 'edgec[gpu]')")
    plan = plan_of_kernels(hand_made.doubled_between("cuda"), _cuda_here(), Silent())
    execute(plan, tmp_path / "artifact", Silent())
    run_artifact(tmp_path / "artifact", plan.interface, [{"x": X}], iterations=2)
    calls = stub_cuda.read_text(encoding="ascii").splitlines()
    captured = [call.split()[2] for call in calls if call.startswith("capture")]
    assert captured == ["scale_and_add", "multiply", "128"]
    once = ["write 128", "graph", "read 128", "write 128", "graph", "read 256", "read 128"]
    assert calls[-2 * len(once) :] == once * 2
