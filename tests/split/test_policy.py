"""Where an inference is computed, as the link changes."""

from __future__ import annotations

from edgec.split.client import Reply
from edgec.split.policy import FallbackPolicy, Where


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _reply(milliseconds: float) -> Reply:
    return Reply(b"", milliseconds, 2.0, 10_000, 100)


def _policy(clock: Clock, local_ms: float | None = 50.0) -> FallbackPolicy:
    return FallbackPolicy(local_ms=local_ms, deadline_ms=100.0, clock=clock)


def test_a_fast_link_is_used_and_a_slow_one_is_not() -> None:
    clock = Clock()
    policy = _policy(clock)
    assert policy.choose(10_000, 100).where is Where.SERVER
    policy.probed(Reply(b"", 1.0, 0.0, 64, 64))
    policy.answered(_reply(12.0))
    assert policy.choose(10_000, 100).where is Where.SERVER
    for _ in range(20):
        policy.answered(_reply(300.0))
    slow = policy.choose(10_000, 100)
    assert slow.where is Where.DEVICE
    assert "100 ms allowed" in slow.reason


def test_after_failures_the_server_is_left_alone_for_longer_and_longer() -> None:
    clock = Clock()
    policy = _policy(clock)
    rests = []
    for _ in range(8):
        policy.failed()
        began = clock.now
        while policy.choose(1, 1).where is Where.DEVICE:
            clock.now += 0.25
        rests.append(clock.now - began)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_slow_link_is_looked_at_again_and_used_once_it_is_fast() -> None:
    clock = Clock()
    policy = _policy(clock)
    policy.answered(_reply(500.0))
    assert policy.choose(10_000, 100).where is Where.DEVICE
    clock.now += 2
    assert policy.choose(10_000, 100).where is Where.SERVER
    policy.answered(_reply(10.0))
    assert policy.choose(10_000, 100).where is Where.SERVER


def test_without_a_local_network_the_server_is_always_asked() -> None:
    policy = _policy(Clock(), local_ms=None)
    policy.failed()
    assert policy.choose(1, 1).where is Where.SERVER


def test_bandwidth_is_what_was_measured() -> None:
    policy = _policy(Clock())
    assert policy.bandwidth_mbps is None
    policy.probed(Reply(b"", 5.0, 0.0, 64, 64))
    policy.answered(Reply(b"", 17.0, 2.0, 9_900, 100))
    assert policy.bandwidth_mbps is not None
    assert abs(policy.bandwidth_mbps - 8.0) < 0.01
