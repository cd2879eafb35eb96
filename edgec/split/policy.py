"""Where to compute the rest of an inference, from what the link did so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from edgec.split.client import Reply

_MEMORY = 0.25
"""Weight of the newest observation in a running mean."""


class Where(StrEnum):
    """Who computes."""

    SERVER = "server"
    DEVICE = "device"
    EARLY = "early"


@dataclass(frozen=True)
class Choice:
    """What was decided, why, and the time that the server is expected to need; None before it was ever asked."""

    where: Where
    reason: str
    remote_ms: float | None


class FallbackPolicy:
    """Asks the server as long as it is expected to answer sooner than the device and within the deadline.

    The link is described by the time of an empty frame and the bytes per second beyond it, both running means of
    measured requests. After a failure, or where an answer would come too late, the server is left alone for a time that
    doubles until it is worth asking again.

    Args:
        local_ms: time of the whole network on the device; None where the device cannot answer by itself, infinite where
            it only would if it must.
        deadline_ms: time that an answer may take.
        rest_s: seconds without a request after the first failure.
        longest_rest_s: most seconds without a request.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *,
        local_ms: float | None,
        deadline_ms: float,
        rest_s: float = 1.0,
        longest_rest_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local_ms = local_ms
        self._deadline_ms = deadline_ms
        self._rest_s = rest_s
        self._longest_rest_s = longest_rest_s
        self._clock = clock
        self._round_trip_ms: float | None = None
        self._bytes_per_ms: float | None = None
        self._server_ms = 0.0
        self._failures = 0
        self._silent_until = float("-inf")

    @property
    def bandwidth_mbps(self) -> float | None:
        """Measured megabits (1e6 bits) per second; None before a request was answered."""
        return None if self._bytes_per_ms is None else self._bytes_per_ms * 8e-3

    def choose(self, sent_bytes: int, received_bytes: int) -> Choice:
        """Where to compute next, for a request and an answer of given sizes."""
        remote_ms = self._expected_ms(sent_bytes + received_bytes)
        if self._local_ms is None:
            return Choice(Where.SERVER, "the device has no answer of its own", remote_ms)
        rest_s = self._silent_until - self._clock()
        if rest_s > 0:
            return Choice(Where.DEVICE, f"the link failed; the server is asked again in {rest_s:.1f} s", remote_ms)
        if remote_ms is None:
            return Choice(Where.SERVER, "nothing is known of the link yet", None)
        if remote_ms > self._deadline_ms:
            return self._rather_local(
                f"{remote_ms:.1f} ms expected of the server, {self._deadline_ms:g} ms allowed", remote_ms
            )
        if remote_ms > self._local_ms:
            return self._rather_local(
                f"{remote_ms:.1f} ms expected of the server, {self._local_ms:.1f} ms here", remote_ms
            )
        self._failures = 0
        return Choice(Where.SERVER, f"{remote_ms:.1f} ms expected, {self._local_ms:.1f} ms here", remote_ms)

    def answered(self, reply: Reply) -> None:
        """Take note of a request that the server answered."""
        on_the_way_ms = max(reply.elapsed_ms - reply.server_ms, 1e-3)
        self._server_ms = _mean(self._server_ms or None, reply.server_ms)
        beyond_ms = on_the_way_ms - (self._round_trip_ms or 0.0)
        # A frame that took hardly longer than an empty one says that the link is fast, not how fast.
        rate = (reply.sent_bytes + reply.received_bytes) / max(beyond_ms, 0.1 * on_the_way_ms)
        self._bytes_per_ms = _mean(self._bytes_per_ms, rate)

    def probed(self, reply: Reply) -> None:
        """Take note of an empty frame that came back."""
        self._round_trip_ms = _mean(self._round_trip_ms, reply.elapsed_ms)

    def failed(self) -> None:
        """Take note of a request without an answer."""
        rest_s = min(self._rest_s * 2**self._failures, self._longest_rest_s)
        self._failures = min(self._failures + 1, 32)
        self._silent_until = self._clock() + rest_s

    def _expected_ms(self, total_bytes: int) -> float | None:
        if self._bytes_per_ms is None:
            return None
        return (self._round_trip_ms or 0.0) + total_bytes / self._bytes_per_ms + self._server_ms

    def _rather_local(self, reason: str, remote_ms: float) -> Choice:
        """On the device, and a look at the link after a rest: it may have become faster."""
        self.failed()
        self._bytes_per_ms = None
        return Choice(Where.DEVICE, reason, remote_ms)


def _mean(before: float | None, new: float) -> float:
    return new if before is None else before + _MEMORY * (new - before)
