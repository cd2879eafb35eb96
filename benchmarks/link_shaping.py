"""Trouble for the loopback link of a network namespace: narrow for a while, flooded, or gone.

Linux's token bucket (`tc-tbf`) delays what comes too fast and drops what would wait for too long; a link that is down
loses everything. Nothing of this reaches beyond the namespace.
"""

from __future__ import annotations

import random
import subprocess
import threading
from pathlib import Path

_INTERFACES = Path("/proc/net/dev")
_HEADER_LINES = 2
_STATES = (
    ("plain", 0.6),
    ("tbf rate 512kbit burst 2kb latency 40ms", 0.25),
    ("tbf rate 64kbit burst 1600 latency 20ms", 0.1),
    ("down", 0.05),
)
"""What the link is like, and how often."""


def in_own_namespace() -> bool:
    """Whether this process sees the loopback interface alone, as in `unshare --net`."""
    lines = _INTERFACES.read_text(encoding="utf-8").splitlines()[_HEADER_LINES:]
    return [line.split(":")[0].strip() for line in lines] == ["lo"]


class ShapedLoopback:
    """Changes the state of `lo` a few times a second until it is closed; seeded.

    Args:
        seed: of the states and how long they last.

    Raises:
        SystemExit: this is not a namespace of its own.
    """

    def __init__(self, seed: int) -> None:
        if not in_own_namespace():
            raise SystemExit(
                "--shaped wants a network namespace: unshare --net python -m benchmarks.split_link --shaped"
            )
        self._random = random.Random(seed)  # noqa: S311  # repeatable on purpose
        self._closed = threading.Event()
        self.changes = 0
        _run("ip link set lo up")
        threading.Thread(target=self._work, daemon=True).start()

    def close(self) -> None:
        """Leave the link as it was."""
        self._closed.set()

    def _work(self) -> None:
        names, weights = zip(*_STATES, strict=True)
        while not self._closed.is_set():
            (state,) = self._random.choices(names, weights)
            if state == "down":
                _run("ip link set lo down")
            elif state != "plain":
                _run(f"tc qdisc replace dev lo root {state}")
            self.changes += 1
            self._closed.wait(self._random.uniform(0.02, 0.3))
            _run("ip link set lo up")
            if state not in ("plain", "down"):
                _run("tc qdisc del dev lo root")


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)
