"""`edgec check --device`: budgets of what was measured on a board, over a real ssh server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

import edgec.measure.artifact_costs
from edgec.check import CheckOptions, check
from edgec.cli.main import main
from edgec.core.metric import Mode, Value
from edgec.core.progress import Silent
from edgec.core.tensor import Sample
from edgec.measure.board import BoardSession
from edgec.measure.board_timing import BoardTiming, time_on_board
from edgec.measure.ssh_shell import CONFIGURATION
from edgec.report.check_records import Outcome
from tests.check.board_server import BoardServer, board_server
from tests.check.budgeted_project import BUDGET_OF_NET, emulates_arm, write_project

pytestmark = emulates_arm


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoardServer]:
    with board_server(tmp_path_factory.mktemp("board"), "qemu-aarch64 -cpu cortex-a72") as server:
        yield server


@pytest.fixture
def timings(board: BoardServer, monkeypatch: pytest.MonkeyPatch) -> list[BoardTiming]:
    """What was measured on the board, which is reached and kept busy for a moment only."""
    monkeypatch.setenv(CONFIGURATION, str(board.configuration))
    made: list[BoardTiming] = []

    def shortly(session: BoardSession, sample: Sample) -> BoardTiming:
        made.append(time_on_board(session, sample, seconds=0.3, sustained_seconds=0.1))
        return made[-1]

    monkeypatch.setattr(edgec.measure.artifact_costs, "time_on_board", shortly)
    return made


def project(folder: Path, model: Path, limit: float, more: str = "") -> Path:
    return write_project(folder, model, f'{BUDGET_OF_NET}latency_ms = {{max = {limit}, mode = "measured"}}\n{more}')


def test_a_budget_is_kept_by_what_the_board_took(
    board: BoardServer, timings: list[BoardTiming], small_model: Path, tmp_path: Path
) -> None:
    options = CheckOptions(
        project(tmp_path, small_model, 60_000), fresh=True, devices={"raspberry-pi-4": board.address}
    )
    (verdict,) = check(options, Silent()).verdicts
    assert verdict.outcome is Outcome.KEPT
    assert isinstance(verdict.value, Value)
    assert verdict.value.mode is Mode.MEASURED
    assert board.address in verdict.value.source
    assert verdict.value.low <= verdict.value.value <= verdict.value.high
    assert len(timings) == 1


def test_a_budget_is_broken_when_three_intervals_clear_the_limit(
    board: BoardServer, timings: list[BoardTiming], small_model: Path, tmp_path: Path
) -> None:
    table = f'[device]\nraspberry-pi-4 = "{board.address}"\n'
    file = project(tmp_path, small_model, 1e-9, table)
    status = main(["check", "--project", str(file), "--fresh", "--junit", str(tmp_path / "junit.xml")])
    assert status == 1
    assert len(timings) == 3
    assert all(timing.burst.latency_ms.low > 1e-9 for timing in timings)
    case = ElementTree.parse(tmp_path / "junit.xml").find(".//testcase[failure]")  # noqa: S314 - written just above
    assert case is not None
    assert "latency" in str(case.attrib)
    assert "exceeds" in str(case.find("failure").attrib)


def test_without_the_board_a_measured_budget_does_not_pass(small_model: Path, tmp_path: Path) -> None:
    (verdict,) = check(CheckOptions(project(tmp_path, small_model, 60_000)), Silent()).verdicts
    assert verdict.outcome is not Outcome.KEPT


def test_a_board_that_is_off_is_no_verdict(timings: list[BoardTiming], small_model: Path, tmp_path: Path) -> None:
    file = project(tmp_path, small_model, 60_000)
    arguments = ["check", "--project", str(file), "--fresh", "--device", "raspberry-pi-4=ssh://nobody@127.0.0.1:9"]
    assert main(arguments) == 3
    assert not timings
