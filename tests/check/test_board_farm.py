"""Boards of a farm: lent by a real tracker, measured through real servers, all on this machine."""

from __future__ import annotations

import gc
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import edgec.measure.artifact_costs
from edgec.build import BuildOptions, build
from edgec.cli.main import main
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.core.target_files import load_target
from edgec.measure.board import parse_board
from edgec.measure.board_farm import BoardFarm
from edgec.measure.board_timing import time_on_board
from edgec.measure.farm_shell import farm_shell
from tests.check.board_farm_server import KEY, board_farm
from tests.check.board_report import assert_measured


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with board_farm(tmp_path_factory.mktemp("farm"), servers=2) as address:
        yield address


@pytest.fixture
def farm(tracker: str) -> BoardFarm:
    found = parse_board(f"rpc://{tracker}/{KEY}")
    assert isinstance(found, BoardFarm)
    return replace(found, wait_seconds=120.0)


@pytest.fixture(scope="module")
def triple() -> str:
    from edgec.backends.tvm.packaging import runner_triple

    return runner_triple(load_target("host"))


def _use_both_boards(farm: BoardFarm, triple: str) -> None:
    """Waits for a board that is still lent; one that is never given back is an error."""
    with farm_shell(farm, triple) as first, farm_shell(farm, triple) as second:
        assert (first.run("echo 1"), second.run("echo 2")) == (b"1\n", b"2\n")


def test_a_build_is_verified_and_measured_on_a_lent_board(
    farm: BoardFarm, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortly = partial(time_on_board, seconds=0.3, sustained_seconds=0.1)
    monkeypatch.setattr(edgec.measure.artifact_costs, "time_on_board", shortly)
    options = BuildOptions(model=small_model, target="host", out=tmp_path / "artifact", device=farm.address)
    report = build(options, Silent()).report
    assert_measured(report, farm.address)
    assert "percentiles on the board" in "\n".join(report.assumptions)


def test_tuning_takes_every_board_of_the_farm(
    farm: BoardFarm, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent: list[int] = []
    lend = BoardFarm.lend

    def noted(self: BoardFarm) -> object:
        loan = lend(self)
        lent.append(loan.port)
        return loan

    monkeypatch.setattr(BoardFarm, "lend", noted)
    database = tmp_path / "tuning.jsonl"
    options = BuildOptions(
        model=small_model,
        target="host",
        out=tmp_path / "artifact",
        tune=6,
        tuning_database=database,
        boards=(farm.address,),
    )
    build(options, Silent())
    assert len(set(lent)) == 2
    records = [json.loads(line) for line in database.read_text().splitlines()]
    assert {record["machine"] for record in records} == {farm.address}
    assert {record["unit"] for record in records} == {"nanoseconds"}


def test_commands_take_and_give_bytes(farm: BoardFarm, triple: str) -> None:
    content = np.random.default_rng(0).bytes(100_000)
    with farm_shell(farm, triple) as shell:
        assert shell.run("cat", content) == content
        assert shell.run("printf '%s' \"it's\"; printf x >&2") == b"it's"


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("echo no space left >&2; exit 3", "ended with status 3"),
        ("kill -4 $$", "ended by signal 4"),
        ("/nowhere/runner", "cannot run the program"),
    ],
)
def test_what_fails_on_the_board_is_an_error(farm: BoardFarm, triple: str, command: str, what: str) -> None:
    with pytest.raises(EdgecError) as caught, farm_shell(farm, triple) as shell:
        shell.run(command)
    assert caught.value.code.code == "EC0657"
    assert what in caught.value.what
    assert "exit 3" not in command or caught.value.details == ("no space left",)


def test_a_board_is_given_back_by_an_error_without_a_garbage_collection(farm: BoardFarm, triple: str) -> None:
    errors = []
    gc.disable()
    try:
        for command in ("exit 3", "/nowhere/runner", "exit 4"):
            with pytest.raises(EdgecError) as caught, farm_shell(farm, triple) as shell:
                shell.run(command)
            errors.append(caught)
        _use_both_boards(farm, triple)
    finally:
        gc.enable()


def test_a_library_that_is_refused_gives_the_board_back(farm: BoardFarm, triple: str) -> None:
    with pytest.raises(EdgecError) as caught, farm_shell(farm, "riscv64-linux-musl"):
        pass
    assert caught.value.code.code == "EC0657"
    assert "another processor" in caught.value.what
    _use_both_boards(farm, triple)


def test_a_command_that_takes_too_long_is_left_behind(farm: BoardFarm, triple: str) -> None:
    with farm_shell(farm, triple) as shell:
        begin = time.monotonic()
        with pytest.raises(EdgecError) as caught:
            shell.run("sleep 15", seconds=0.5)
    assert "did not end within 0.5 s" in caught.value.what
    assert time.monotonic() - begin < 12
    # Its board comes back once the command is over; no other test finds it busy.
    _use_both_boards(farm, triple)


def test_a_kind_that_the_tracker_does_not_know(tracker: str, small_model: Path, tmp_path: Path) -> None:
    status = main(["build", str(small_model), "--target", "host", "--tune", "1", "--board", f"rpc://{tracker}/nano"])
    assert status == 3


def test_the_kinds_that_the_tracker_knows_are_named(tracker: str) -> None:
    found = parse_board(f"rpc://{tracker}/nano")
    with pytest.raises(EdgecError) as caught:
        found.boards()  # type: ignore[union-attr]
    assert caught.value.code.code == "EC0656"
    assert f"it knows: {KEY}" in caught.value.what
    assert "rpc_server" in caught.value.hint


def test_boards_that_are_all_lent_are_waited_for(farm: BoardFarm, triple: str) -> None:
    impatient = BoardFarm(farm.host, farm.port, farm.key, wait_seconds=0.5)
    with farm_shell(farm, triple), farm_shell(farm, triple), pytest.raises(EdgecError) as caught:
        impatient.lend()
    assert caught.value.code.code == "EC0656"
    assert "none of the 2 boards" in caught.value.what


def test_a_tracker_that_is_off() -> None:
    with pytest.raises(EdgecError) as caught:
        BoardFarm("127.0.0.1", 9, "pi").lend()
    assert caught.value.code.code == "EC0656"
    assert "rpc_tracker" in caught.value.hint


def test_something_else_at_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                connection.recv(4)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(EdgecError) as caught:
            BoardFarm("127.0.0.1", server.getsockname()[1], "pi").boards()
    assert "no TVM RPC tracker" in caught.value.what


@pytest.mark.parametrize("address", ["rpc://", "rpc://tracker", "rpc://tracker/", "rpc://tracker:0/pi", "rpc://a/b/c"])
def test_a_faulty_address_of_a_farm_is_refused(address: str) -> None:
    with pytest.raises(EdgecError) as caught:
        parse_board(address)
    assert caught.value.code.code == "EC0655"
