"""A farm of the test's own: TVM's tracker and servers as processes of this machine, on ports of their own."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from edgec.core.errors import EdgecError
from edgec.measure.board_farm import BoardFarm

KEY = "this-machine"
_NEEDED = ("tvm", "tornado", "cloudpickle", "psutil")
_START_SECONDS = 180.0


@contextmanager
def board_farm(folder: Path, servers: int) -> Iterator[str]:
    """The address `host:port` of a tracker that lends this machine as `servers` boards; skips where TVM cannot."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"a farm needs {', '.join(missing)}")
    port = _free_port()
    address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        # A server asks again only after five seconds, so the tracker must be there first.
        tracker = ["tvm.exec.rpc_tracker", "--host", "127.0.0.1", "--port", str(port), "--port-end", str(port + 1)]
        stack.enter_context(_running(tracker, folder / "tracker.log"))
        _wait_until(lambda: _is_open(port), folder)
        for number in range(servers):
            own = _free_port()
            server = ["tvm.exec.rpc_server", "--host", "127.0.0.1", "--port", str(own), "--port-end", str(own + 1)]
            stack.enter_context(_running([*server, "--tracker", address, "--key", KEY], folder / f"server{number}.log"))

        def all_there() -> bool:
            try:
                return BoardFarm("127.0.0.1", port, KEY).boards() == servers
            except EdgecError:
                return False

        _wait_until(all_there, folder)
        yield address


@contextmanager
def _running(arguments: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=output, stderr=output)
        try:
            yield
        finally:
            import psutil

            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_until(condition: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log")))
    pytest.fail(f"the farm did not start within {_START_SECONDS:g} s:\n{logs}")
