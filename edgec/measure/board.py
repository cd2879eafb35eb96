"""An artefact's runner on a board: copied there, run, its outputs and times brought back, removed."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgec.core.codes.board import BAD_DEVICE
from edgec.core.codes.running import ARTIFACT_NOT_RUNNABLE
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.target import Target
from edgec.core.tensor import Sample
from edgec.measure.board_farm import BoardFarm
from edgec.measure.board_shell import BoardShell, board_failed
from edgec.measure.running import ArtifactRun, read_column, read_outputs, read_trace, write_inputs
from edgec.measure.ssh_shell import SshShell

_HOST = "[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_SSH = re.compile(rf"ssh://(?:([A-Za-z0-9._-]+)@)?({_HOST})(?::(\d{{1,5}}))?/?")
_FARM = re.compile(rf"rpc://({_HOST})(?::(\d{{1,5}}))?/([A-Za-z0-9._-]+)")
_TRACKER_PORT = 9190
_FOLDER = re.compile(r"/[A-Za-z0-9._/-]+")
_RUN_SECONDS = 600.0


def parse_board(text: str) -> SshShell | BoardFarm:
    """A board from `ssh://user@host:port`, or the boards of a kind from `rpc://tracker:port/key`.

    Raises:
        EdgecError: EC0655 for anything else.
    """
    if found := _SSH.fullmatch(text):
        user, host, port = found.groups()
        return SshShell(user, host, _port(text, port))
    if found := _FARM.fullmatch(text):
        host, port, key = found.groups()
        return BoardFarm(host, _port(text, port) or _TRACKER_PORT, key)
    raise _bad_device(text)


def _port(text: str, digits: str | None) -> int | None:
    if digits is None:
        return None
    if not 0 < int(digits) < 65536:
        raise _bad_device(text)
    return int(digits)


def _bad_device(text: str) -> EdgecError:
    what = f"{text!r} is neither ssh://user@board:port nor rpc://tracker:port/key"
    return EdgecError(BAD_DEVICE, what, hint=BAD_DEVICE.remedy)


@contextmanager
def shell_of(board: SshShell | BoardFarm, target: Target) -> Iterator[BoardShell]:
    """The shell of a board for as long as the block lasts; a farm lends a board meanwhile.

    Raises:
        EdgecError: EC0656 if no board can be reached, EC0657 if one fails, EC0901 without a tool.
    """
    if isinstance(board, SshShell):
        yield board
        return
    # Only a farm needs TVM, which takes long to load.
    from edgec.backends.tvm.packaging import runner_triple
    from edgec.measure.farm_shell import farm_shell

    with farm_shell(board, runner_triple(target)) as shell:
        yield shell


@contextmanager
def on_board(address: str | None, folder: Path, interface: Interface, target: Target) -> Iterator[BoardSession | None]:
    """The artefact in `folder` on a board for as long as the block lasts; None without an address.

    Raises:
        EdgecError: EC0650 without a runner, EC0655 for a faulty address, EC0656 if the board cannot be reached, EC0657
            if it fails, EC0901 without ssh or TVM.
    """
    if address is None:
        yield None
        return
    board = parse_board(address)
    if interface.runner is None:
        raise EdgecError(
            ARTIFACT_NOT_RUNNABLE,
            "the artefact has no executable for its target",
            where=str(folder),
            hint="measure on a board with an operating system",
        )
    with shell_of(board, target) as shell:
        session = BoardSession(shell, interface)
        session.install(folder / interface.runner)
        try:
            yield session
        except BaseException:
            # What went wrong first is what the user must know, and a lost connection cannot clean up.
            with suppress(EdgecError):
                session.remove()
            raise
        session.remove()


class BoardSession:
    """A folder on a board that holds one runner.

    Args:
        shell: of the board.
        interface: of the artefact.
    """

    def __init__(self, shell: BoardShell, interface: Interface) -> None:
        self._shell = shell
        self._interface = interface
        self._folder = ""

    @property
    def address(self) -> str:
        """The board, as the user named it."""
        return self._shell.address

    def install(self, runner: Path) -> None:
        """Make the folder and copy the runner.

        Raises:
            EdgecError: EC0656, EC0657, EC0901.
        """
        made = self._shell.run("umask 077 && mktemp -d /tmp/edgec-XXXXXX").decode(errors="replace").strip()
        if not _FOLDER.fullmatch(made):
            raise board_failed(self.address, f"mktemp printed {made[:100]!r}")
        self._folder = made
        try:
            self._shell.run(f"cat > {made}/runner && chmod 700 {made}/runner", runner.read_bytes())
        except BaseException:
            with suppress(EdgecError):  # as in `on_board`
                self.remove()
            raise

    def remove(self) -> None:
        """Remove the folder on the board.

        Raises:
            EdgecError: EC0656, EC0657.
        """
        if self._folder:
            self._shell.run(f"rm -rf {self._folder}")
            self._folder = ""

    def run(
        self, samples: Sequence[Sample], *, warmup: int = 0, iterations: int = 1, trace: bool = False
    ) -> ArtifactRun:
        """Run the artefact on every sample, one process a sample, as `run_artifact` does here.

        Raises:
            EdgecError: EC0653 a broken protocol, EC0654 inputs that do not fit, EC0656, EC0657.
        """
        outputs, nanoseconds, steps = [], [], []
        arguments = ["--warmup", str(warmup), "--iterations", str(iterations)]
        arguments += ["--trace", "trace.jsonl"] if trace else []
        program = shlex.join(["./runner", "inputs.bin", "outputs.bin", *arguments])
        with tempfile.TemporaryDirectory(prefix="edgec-board-") as name:
            scratch = Path(name)
            for sample in samples:
                write_inputs(scratch / "inputs.bin", self._interface, sample)
                self._shell.run(f"cat > {self._folder}/inputs.bin", (scratch / "inputs.bin").read_bytes())
                printed = self._shell.run(f"cd {self._folder} && {program}", seconds=_RUN_SECONDS)
                nanoseconds += read_column(printed.decode(errors="replace"), "nanoseconds")
                (scratch / "outputs.bin").write_bytes(self._shell.run(f"cat {self._folder}/outputs.bin"))
                outputs.append(read_outputs(scratch / "outputs.bin", self._interface))
                if trace:
                    (scratch / "trace.jsonl").write_bytes(self._shell.run(f"cat {self._folder}/trace.jsonl"))
                    steps.append(read_trace(scratch / "trace.jsonl"))
        return ArtifactRun(tuple(outputs), tuple(nanoseconds), tuple(steps))

    def read_files(self, patterns: Sequence[str]) -> dict[str, str]:
        """The first lines of the readable files on the board that match shell patterns, by path.

        Raises:
            EdgecError: EC0656, EC0657.
        """
        loop = f'for file in {" ".join(patterns)}; do [ -r "$file" ] && echo "$file $(head -n 1 "$file")"; done; true'
        lines = self._shell.run(loop).decode(errors="replace").splitlines()
        return {path: text for path, _, text in (line.partition(" ") for line in lines)}
