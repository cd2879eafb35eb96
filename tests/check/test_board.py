from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgec.build import BuildOptions, build
from edgec.core.errors import EdgecError
from edgec.core.manifest import read_manifest
from edgec.core.metric import Value
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.graph.inputs import sample_inputs
from edgec.graph.load import load_model
from edgec.measure.board import on_board, parse_board
from edgec.measure.board_timing import board_state
from edgec.measure.running import run_artifact
from edgec.measure.ssh_shell import CONFIGURATION
from tests.check.board_report import assert_measured
from tests.check.board_server import BoardServer, board_server

TARGET = load_target("raspberry-pi-4")
needs_emulator = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoardServer]:
    with board_server(tmp_path_factory.mktemp("board"), "qemu-aarch64 -cpu cortex-a72") as server:
        yield server


@pytest.fixture
def reached(board: BoardServer, monkeypatch: pytest.MonkeyPatch) -> BoardServer:
    monkeypatch.setenv(CONFIGURATION, str(board.configuration))
    return board


@pytest.fixture(scope="module")
def artifact(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(options(small_model, tmp_path_factory.mktemp("built") / "artifact"), Silent()).folder


def options(model: Path, out: Path, device: str | None = None) -> BuildOptions:
    return BuildOptions(
        model=model,
        target="raspberry-pi-4",
        out=out,
        device=device,
    )


def run_without_inputs(board: BoardServer, artifact: Path) -> None:
    with on_board(board.address, artifact, read_manifest(artifact).interface, TARGET) as session:
        assert session is not None
        session.run([{}])


def leftovers() -> set[Path]:
    return set(Path("/tmp").glob("edgec-??????"))  # noqa: S108 - where the emulated board makes its folders


@needs_emulator
@pytest.mark.emulator
def test_a_build_is_verified_and_measured_on_the_board(reached: BoardServer, small_model: Path, tmp_path: Path) -> None:
    before = leftovers()
    report = build(options(small_model, tmp_path / "artifact", reached.address), Silent()).report
    assert_measured(report, reached.address)
    assert all(isinstance(layer.latency_ms, Value) for layer in report.layers)
    notes = "\n".join(report.assumptions)
    assert "percentiles on the board" in notes
    assert "sustained on the board" in notes
    assert "the board before" in notes
    assert leftovers() == before


@needs_emulator
@pytest.mark.emulator
def test_the_board_gives_the_outputs_of_this_machine(reached: BoardServer, artifact: Path) -> None:
    interface = read_manifest(artifact).interface
    sample = sample_inputs(load_model(artifact / "model.onnx").model, 1, 0)[0]
    here = run_artifact(artifact, interface, [sample]).outputs[0]
    with on_board(reached.address, artifact, interface, TARGET) as session:
        assert session is not None
        there = session.run([sample], trace=True)
    assert all(np.array_equal(here[name], there.outputs[0][name]) for name in here)
    assert len(there.step_ns[0]) > 0


@needs_emulator
@pytest.mark.emulator
def test_the_folder_on_the_board_goes_away_when_something_fails(reached: BoardServer, artifact: Path) -> None:
    before = leftovers()
    with pytest.raises(EdgecError) as caught:
        run_without_inputs(reached, artifact)
    assert caught.value.code.code == "EC0654"
    assert leftovers() == before


def test_a_board_that_refuses_the_key_says_what_to_do(
    board: BoardServer, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIGURATION, str(board.strict_configuration))
    with (
        pytest.raises(EdgecError) as caught,
        on_board(board.address, artifact, read_manifest(artifact).interface, TARGET),
    ):
        pass
    assert caught.value.code.code == "EC0656"
    assert "accept the board's key" in caught.value.hint


def test_a_board_that_is_off_is_an_error_with_a_hint(reached: BoardServer, artifact: Path) -> None:
    with (
        pytest.raises(EdgecError) as caught,
        on_board("ssh://nobody@127.0.0.1:9", artifact, read_manifest(artifact).interface, TARGET),
    ):
        pass
    assert caught.value.code.code == "EC0656"
    assert "terminal" in caught.value.hint


@pytest.mark.parametrize(
    "address",
    ["board", "ssh://", "http://board", "ssh://-oProxyCommand=x", "ssh://a@b:0", "ssh://a@b:99999", "ssh://a b"],
)
def test_a_faulty_address_is_refused(address: str) -> None:
    with pytest.raises(EdgecError) as caught:
        parse_board(address)
    assert caught.value.code.code == "EC0655"


def test_clock_and_temperature_of_a_board_are_stated() -> None:
    folder = "/sys/devices/system/cpu/cpu0/cpufreq"
    files = {
        f"{folder}/scaling_cur_freq": "600000",
        f"{folder.replace('cpu0', 'cpu1')}/scaling_cur_freq": "1800000",
        f"{folder}/scaling_governor": "ondemand",
        "/sys/class/thermal/thermal_zone0/temp": "61835",
        "/proc/loadavg": "0.52 0.58 0.59 1/467 21",
    }
    assert board_state(files) == "600 to 1800 MHz, governor ondemand, 61.8 °C, load 0.52"
    assert board_state({}) == "no clock stated, no temperature stated"
