"""An artefact's runner on a board, over ssh: copied there, run, its outputs and times brought back, removed.

Only the program `ssh` is needed here, and a POSIX shell with `cat` and `mktemp` there, so a board with BusyBox and
dropbear will do. Nothing is asked on the terminal: the key must be in an agent or in ssh's own configuration, or in the
file that the environment variable `EDGEC_SSH_CONFIG` names (`ssh -F`).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edgec.core.codes.board import BAD_DEVICE, BOARD_FAILED, BOARD_UNREACHABLE
from edgec.core.codes.running import ARTIFACT_NOT_RUNNABLE
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.measure.running import ArtifactRun, Sample, read_column, read_outputs, read_trace, write_inputs

CONFIGURATION = "EDGEC_SSH_CONFIG"
_ADDRESS = re.compile(r"ssh://(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::(\d{1,5}))?/?")
_FOLDER = re.compile(r"/[A-Za-z0-9._/-]+")
_CONNECT_SECONDS = 15
_COMMAND_SECONDS = 60.0
_RUN_SECONDS = 600.0
_SSH_FAILED = 255
_SHELL_CANNOT_RUN = frozenset({126, 127})
_CRASHED = 128


@dataclass(frozen=True)
class Board:
    """Where a board is: `ssh://user@host:port`; user and port as ssh's configuration says where they are left out."""

    user: str | None
    host: str
    port: int | None

    @property
    def address(self) -> str:
        """As it was given."""
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.host}" + (f":{self.port}" if self.port else "")


def parse_board(text: str) -> Board:
    """A board from `ssh://user@host:port`.

    Raises:
        EdgecError: EC0655 for anything else.
    """
    found = _ADDRESS.fullmatch(text)
    port = int(found.group(3)) if found and found.group(3) else None
    if found is None or (port is not None and not 0 < port < 65536):
        raise EdgecError(BAD_DEVICE, f"{text!r} is not ssh://user@board:port", hint=BAD_DEVICE.remedy)
    return Board(found.group(1), found.group(2), port)


@contextmanager
def on_board(address: str | None, folder: Path, interface: Interface) -> Iterator[BoardSession | None]:
    """The artefact in `folder` on a board for as long as the block lasts; None without an address.

    Raises:
        EdgecError: EC0650 without a runner, EC0655 for a faulty address, EC0656 if the board cannot be reached, EC0657
            if it fails, EC0901 without ssh.
    """
    if address is None:
        yield None
        return
    if interface.runner is None:
        raise EdgecError(
            ARTIFACT_NOT_RUNNABLE,
            "the artefact has no executable for its target",
            where=str(folder),
            hint="measure on a board with an operating system",
        )
    session = BoardSession(parse_board(address), interface)
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
        board: where.
        interface: of the artefact.
    """

    def __init__(self, board: Board, interface: Interface) -> None:
        self.board = board
        self._interface = interface
        self._folder = ""

    def install(self, runner: Path) -> None:
        """Make the folder and copy the runner.

        Raises:
            EdgecError: EC0656, EC0657, EC0901.
        """
        made = self.shell("umask 077 && mktemp -d /tmp/edgec-XXXXXX").decode(errors="replace").strip()
        if not _FOLDER.fullmatch(made):
            raise self._failed(f"mktemp printed {made[:100]!r}", "")
        self._folder = made
        try:
            self.shell(f"cat > {made}/runner && chmod 700 {made}/runner", runner.read_bytes())
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the folder on the board.

        Raises:
            EdgecError: EC0656, EC0657.
        """
        if self._folder:
            self.shell(f"rm -rf {self._folder}")
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
                self.shell(f"cat > {self._folder}/inputs.bin", (scratch / "inputs.bin").read_bytes())
                printed = self.shell(f"cd {self._folder} && {program}", seconds=_RUN_SECONDS)
                nanoseconds += read_column(printed.decode(errors="replace"), "nanoseconds")
                (scratch / "outputs.bin").write_bytes(self.shell(f"cat {self._folder}/outputs.bin"))
                outputs.append(read_outputs(scratch / "outputs.bin", self._interface))
                if trace:
                    (scratch / "trace.jsonl").write_bytes(self.shell(f"cat {self._folder}/trace.jsonl"))
                    steps.append(read_trace(scratch / "trace.jsonl"))
        return ArtifactRun(tuple(outputs), tuple(nanoseconds), tuple(steps))

    def read_files(self, patterns: Sequence[str]) -> dict[str, str]:
        """The first lines of the readable files on the board that match shell patterns, by path.

        Raises:
            EdgecError: EC0656, EC0657.
        """
        loop = f'for file in {" ".join(patterns)}; do [ -r "$file" ] && echo "$file $(head -n 1 "$file")"; done; true'
        lines = self.shell(loop).decode(errors="replace").splitlines()
        return {path: text for path, _, text in (line.partition(" ") for line in lines)}

    def shell(self, command: str, content: bytes = b"", *, seconds: float = _COMMAND_SECONDS) -> bytes:
        """Run a command in the board's shell, with `content` as its standard input, and give back what it printed.

        Raises:
            EdgecError: EC0656, EC0657, EC0901.
        """
        if shutil.which("ssh") is None:
            raise EdgecError(TOOL_MISSING, "ssh is not on PATH", hint="apt install openssh-client")
        configuration = os.environ.get(CONFIGURATION)
        options = ["-F", configuration] if configuration else []
        options += ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}", "-o", "ServerAliveInterval=10"]
        options += ["-p", str(self.board.port)] if self.board.port else []
        place = f"{self.board.user}@{self.board.host}" if self.board.user else self.board.host
        try:
            done = subprocess.run(
                ["ssh", "-T", *options, "--", place, command],
                input=content,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as fault:
            raise self._failed(f"a command did not end within {seconds:g} s", "") from fault
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode == _SSH_FAILED:
            last = said.splitlines()[-1] if said else "ssh says nothing"
            raise EdgecError(BOARD_UNREACHABLE, last, where=self.board.address, hint=_connection_hint(said))
        raise self._failed(_ending(done.returncode), said)

    def _failed(self, what: str, said: str) -> EdgecError:
        return EdgecError(
            BOARD_FAILED,
            what,
            where=self.board.address,
            hint=BOARD_FAILED.remedy,
            details=tuple(said.splitlines()[-5:]),
        )


def _ending(status: int) -> str:
    if status in _SHELL_CANNOT_RUN:
        return "the board cannot run the program: is it built for another processor?"
    if status > _CRASHED:
        return f"a program on the board ended by signal {status - _CRASHED}"
    return f"a program on the board ended with status {status}"


def _connection_hint(said: str) -> str:
    if "Permission denied" in said:
        return "put your key on the board (ssh-copy-id), and load it into an agent if it has a passphrase"
    if "Host key verification failed" in said:
        return "connect once by hand, `ssh USER@BOARD`, and accept the board's key"
    if "resolve hostname" in said:
        return "check the board's name, or give its address"
    return BOARD_UNREACHABLE.remedy
