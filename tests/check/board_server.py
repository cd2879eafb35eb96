"""An ssh server of the test's own, on a high port, that plays a board: the artefact's runner is emulated."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_COMMAND = """#!/bin/sh
export PATH="{programs}:$PATH"
case "$SSH_ORIGINAL_COMMAND" in
    *"./runner "*) exec sh -c "$(printf '%s' "$SSH_ORIGINAL_COMMAND" | sed 's#[.]/runner #{emulator} ./runner #')" ;;
    *) exec sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""

_SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
ForceCommand {folder}/command
"""

_CLIENT = """
Host *
    IdentityFile {folder}/key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/hosts-of-{name}
    StrictHostKeyChecking {strict}
"""


@dataclass(frozen=True)
class BoardServer:
    """A running server: its address for `--device`, and ssh's configuration to reach it."""

    address: str
    configuration: Path
    strict_configuration: Path


@contextmanager
def board_server(folder: Path, emulator: str) -> Iterator[BoardServer]:
    """Start a server whose `./runner` runs under `emulator`; skips where OpenSSH is not installed."""
    server = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
    if server is None or shutil.which("ssh") is None:
        pytest.skip("openssh-server and openssh-client are not both installed")
    for key in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    (folder / "command").write_text(_COMMAND.format(programs=folder, emulator=emulator))
    (folder / "command").chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "server").write_text(_SERVER.format(port=port, folder=folder))
    for name, strict in (("client", "no"), ("strict", "yes")):
        text = _CLIENT.format(folder=folder, name=name, strict=strict)
        (folder / name).write_text(text)
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)  # where OpenSSH drops its privileges; Debian's service makes it
    process = subprocess.Popen([server, "-D", "-e", "-f", str(folder / "server")], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        address = f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
        yield BoardServer(address, folder / "client", folder / "strict")
    finally:
        process.kill()
        process.wait(timeout=10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            pytest.skip(f"the ssh server does not start here: status {process.returncode}")
        time.sleep(0.1)
    pytest.skip("the ssh server does not answer")
