"""Boards that time kernels: this machine, an emulator that counts, and devices that a command reaches.

A board gets one program, which needs nothing but an operating system, and gives back what it printed. So a device needs
no software of ours, and any command that runs a program there will do.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgec.backends.tuning import Board, Samples
from edgec.core.codes.backend import NOT_TUNABLE
from edgec.core.codes.usage import BAD_USAGE
from edgec.core.errors import EdgecError
from edgec.core.host_machine import processor_name
from edgec.core.target import Target
from edgec.measure.artifact_costs import NATIVE
from edgec.measure.board import parse_board, shell_of
from edgec.measure.board_farm import BoardFarm
from edgec.measure.board_shell import board_failed
from edgec.measure.counting_plugin import counting_plugin, event_calls
from edgec.measure.running import launch
from edgec.measure.ssh_shell import SshShell

_SECONDS_A_KERNEL = 0.05
_MOST_SAMPLES = 100
_TIMEOUT_SECONDS = 600.0
_PROGRAM = "time_kernels"
_ADDRESSES = ("ssh://", "rpc://")
_ON_STANDARD_INPUT = 'p=$(mktemp) && cat >"$p" && chmod +x "$p" && "$p" {seconds} {samples}; s=$?; rm -f "$p"; exit $s'


@dataclass(frozen=True)
class CommandBoard:
    """A device that a command runs programs on.

    Attributes:
        name: of the device.
        prefix: what comes before the path of the program; empty for this machine.
    """

    name: str
    prefix: tuple[str, ...]
    unit: str = "nanoseconds"

    def run(self, program: bytes, kernels: int) -> Samples:
        """See `Board`."""
        with tempfile.TemporaryDirectory(prefix="edgec-board-") as folder:
            path = _executable(Path(folder), program)
            command = [*self.prefix, str(path), f"{_SECONDS_A_KERNEL * kernels:.3f}", str(_MOST_SAMPLES)]
            return _samples(self.name, _output(self.name, command, b""), kernels)


@dataclass(frozen=True)
class RemoteBoard:
    """A device with a shell that ssh reaches or a farm lends; the program goes there on standard input."""

    place: SshShell | BoardFarm
    target: Target
    unit: str = "nanoseconds"

    @property
    def name(self) -> str:
        """See `Board`."""
        return self.place.address

    def run(self, program: bytes, kernels: int) -> Samples:
        """See `Board`."""
        command = _ON_STANDARD_INPUT.format(seconds=f"{_SECONDS_A_KERNEL * kernels:.3f}", samples=_MOST_SAMPLES)
        with shell_of(self.place, self.target) as shell:
            printed = shell.run(command, program, seconds=_TIMEOUT_SECONDS)
        return _samples(self.name, printed.decode(errors="replace"), kernels)


@dataclass(frozen=True)
class EmulatorBoard:
    """An emulator of the device: it counts instructions, and knows neither caches nor what an instruction costs."""

    command: tuple[str, ...]
    unit: str = "instructions"

    @property
    def name(self) -> str:
        """See `Board`."""
        return " ".join(self.command)

    def run(self, program: bytes, kernels: int) -> Samples:
        """See `Board`; a count is the same in every run, so there is one sample."""
        with tempfile.TemporaryDirectory(prefix="edgec-board-") as folder:
            scratch = Path(folder)
            _executable(scratch, program)
            (scratch / "plugin.so").write_bytes(counting_plugin(self.command[0]))
            plugin = f"./plugin.so,{event_calls(self.command[0])},out=events.txt"
            executable, *arguments = self.command
            command = [executable, "-plugin", plugin, *arguments, f"./{_PROGRAM}", "0", "1"]
            environment = {"LC_ALL": "C", "EDGEC_THREADS": "1", "PATH": os.environ.get("PATH", os.defpath)}
            launch(command, timeout_seconds=_TIMEOUT_SECONDS, environment=environment, folder=scratch)
            counts = [float(line.split()[2]) for line in (scratch / "events.txt").read_text("ascii").splitlines()]
        # Every kernel runs once to warm up and once to be counted, between two readings of the clock each.
        if len(counts) != 4 * kernels:
            raise board_failed(self.name, f"the clock was read {len(counts)} times instead of {4 * kernels}")
        return tuple((count,) for count in counts[2 * kernels + 1 :: 2])


def boards_for(target: Target, texts: Sequence[str]) -> tuple[Board, ...]:
    """The boards to tune a target on.

    Args:
        target: the device.
        texts: `ssh://USER@HOST:PORT`; `rpc://TRACKER:PORT/KEY` for all boards of a kind; or a command that a program's
            path is added to. Empty for this machine if it is the target, else for the target's emulator.

    Raises:
        EdgecError: EC0101 or EC0655 for a text that names no board; EC0656 where a farm has none; EC0405 where there is
            neither board nor emulator.
    """
    if texts:
        return tuple(board for text in texts for board in _boards(text, target))
    if target.compiler.triple == NATIVE:
        return (CommandBoard(processor_name(), ()),)
    emulator = target.emulator
    if emulator is None or shutil.which(emulator.executable) is None:
        raise EdgecError(
            NOT_TUNABLE,
            f"no board is named, and there is no emulator for {target.name}",
            hint="name boards with --board, or install the emulator",
        )
    return (EmulatorBoard((emulator.executable, *emulator.arguments)),)


def _boards(text: str, target: Target) -> tuple[Board, ...]:
    """The boards that a text names: a farm stands for as many as it has."""
    if text.startswith(_ADDRESSES):
        place = parse_board(text)
        count = place.boards() if isinstance(place, BoardFarm) else 1
        return (RemoteBoard(place, target),) * count
    try:
        words = tuple(shlex.split(text))
    except ValueError as problem:
        raise _bad_board(text) from problem
    if not words:
        raise _bad_board(text)
    return (CommandBoard(text, words),)


def _bad_board(text: str) -> EdgecError:
    hint = "ssh://USER@HOST:PORT, rpc://TRACKER:PORT/KEY, or a command"
    return EdgecError(BAD_USAGE, "this names no board", where=f"--board {text}", hint=hint)


def _executable(folder: Path, program: bytes) -> Path:
    path = folder / _PROGRAM
    path.write_bytes(program)
    path.chmod(0o700)
    return path


def _output(board: str, command: Sequence[str], standard_input: bytes) -> str:
    try:
        done = subprocess.run(command, input=standard_input, capture_output=True, timeout=_TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired as fault:
        raise board_failed(board, f"it gave no answer in {_TIMEOUT_SECONDS:g} s") from fault
    except OSError as fault:
        raise board_failed(board, f"{command[0]} cannot be started: {fault.strerror}") from fault
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")
        raise board_failed(board, f"the command ended with status {done.returncode}", said)
    return done.stdout.decode(errors="replace")


def _samples(board: str, printed: str, kernels: int) -> Samples:
    try:
        rows = tuple(tuple(float(int(word)) for word in line.split()) for line in printed.splitlines())
    except ValueError as fault:
        raise board_failed(board, "it printed something else than times") from fault
    if len(rows) != kernels or len({len(row) for row in rows}) != 1 or not rows[0] or min(map(min, rows)) <= 0:
        raise board_failed(board, f"it printed {len(rows)} rows of times instead of {kernels}")
    return rows
