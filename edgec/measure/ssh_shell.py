"""A board's shell over ssh.

Only the program `ssh` is needed here, and a POSIX shell with `cat` and `mktemp` there, so a board with BusyBox and
dropbear will do. Nothing is asked on the terminal: the key must be in an agent or in ssh's own configuration, or in the
file that the environment variable `EDGEC_SSH_CONFIG` names (`ssh -F`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from edgec.core.codes.board import BOARD_UNREACHABLE
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.measure.board_shell import COMMAND_SECONDS, bad_status, board_failed

CONFIGURATION = "EDGEC_SSH_CONFIG"
_CONNECT_SECONDS = 15
_SSH_FAILED = 255


@dataclass(frozen=True)
class SshShell:
    """A board that ssh reaches; user and port as ssh's configuration says where they are None."""

    user: str | None
    host: str
    port: int | None

    @property
    def address(self) -> str:
        """See `BoardShell`."""
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.host}" + (f":{self.port}" if self.port else "")

    def run(self, command: str, content: bytes = b"", *, seconds: float = COMMAND_SECONDS) -> bytes:
        """See `BoardShell`.

        Raises:
            EdgecError: EC0656, EC0657, EC0901 without ssh.
        """
        if shutil.which("ssh") is None:
            raise EdgecError(TOOL_MISSING, "ssh is not on PATH", hint="apt install openssh-client")
        configuration = os.environ.get(CONFIGURATION)
        options = ["-F", configuration] if configuration else []
        options += ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_SECONDS}", "-o", "ServerAliveInterval=10"]
        options += ["-p", str(self.port)] if self.port else []
        place = f"{self.user}@{self.host}" if self.user else self.host
        try:
            done = subprocess.run(
                ["ssh", "-T", *options, "--", place, command],
                input=content,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as fault:
            raise board_failed(self.address, f"a command did not end within {seconds:g} s") from fault
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode == _SSH_FAILED:
            last = said.splitlines()[-1] if said else "ssh says nothing"
            raise EdgecError(BOARD_UNREACHABLE, last, where=self.address, hint=_connection_hint(said))
        raise bad_status(self.address, done.returncode, said)


def _connection_hint(said: str) -> str:
    if "Permission denied" in said:
        return "put your key on the board (ssh-copy-id), and load it into an agent if it has a passphrase"
    if "Host key verification failed" in said:
        return "connect once by hand, `ssh USER@BOARD`, and accept the board's key"
    if "resolve hostname" in said:
        return "check the board's name, or give its address"
    return BOARD_UNREACHABLE.remedy
