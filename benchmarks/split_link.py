"""The link of a split network under faults, and the server under load.

Run from the root of the repository: `python -m benchmarks.split_link`, or, where network namespaces are allowed,
`unshare --net python -m benchmarks.split_link --shaped`, which makes the link itself narrow and lets it fail.

Faults: requests through a proxy that delays, cuts, truncates and corrupts; every answer is compared with the tail's.
Load: requests answered a second with concurrent clients, against the bare tail in the same process.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.link_shaping import ShapedLoopback
from edgec.core.tensor import Sample
from edgec.split.client import Server, SplitClient
from edgec.split.policy import FallbackPolicy
from edgec.split.session import SplitSession
from edgec.split.tensors import PayloadCoding
from tests.split import links

_ALLOWED_MS = 20.0
"""What a request may take beyond its time-out: the device's own answer, and the ends of both."""


class Pauses:
    """When this process did not run although it wanted to: what the machine adds to any time measured here."""

    _TICK_S = 0.002

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()
        self._thread.join()

    def longest_ms(self) -> float:
        """The longest of all."""
        return max((end - start for start, end in self._seen), default=0.0) * 1e3

    def within_ms(self, start: float, end: float) -> float:
        """All that fell between two times of `time.perf_counter`, in milliseconds."""
        return sum(max(0.0, min(end, until) - max(start, since)) for since, until in self._seen) * 1e3

    def _work(self) -> None:
        before = time.perf_counter()
        while not self._stopped.wait(self._TICK_S):
            now = time.perf_counter()
            if now - before > 2 * self._TICK_S:
                self._seen.append((before + self._TICK_S, now))
            before = now


@dataclass
class Outcome:
    """What became of the requests of all clients."""

    wrong: int = 0
    where: Counter[str] = field(default_factory=Counter)
    times: list[tuple[float, float]] = field(default_factory=list)
    """Begin and end of each."""


def faults(requests: int, timeout_s: float, trouble: float, clients: int, *, shaped: bool) -> dict[str, float]:
    """Who answered, how many answers were wrong, and the longest time of one."""
    loopback = ShapedLoopback(seed=0) if shaped else None
    pauses, outcome, began = Pauses(), Outcome(), time.perf_counter()
    description = links.manifest()
    with links.serving(description) as (_, port):
        threads = [
            threading.Thread(
                target=_ask_over, args=(port, range(first, requests, clients), timeout_s, trouble, outcome)
            )
            for first in range(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if loopback is not None:
        loopback.close()
        outcome.where["changes of the shaped link"] = loopback.changes
    pauses.stop()
    late_ms = timeout_s * 1e3 + _ALLOWED_MS
    own_ms = [(end - start) * 1e3 - pauses.within_ms(start, end) for start, end in outcome.times]
    return {
        "requests": len(outcome.times),
        "clients": clients,
        "seconds": time.perf_counter() - began,
        "wrong": outcome.wrong,
        "timeout_ms": timeout_s * 1e3,
        "longest_ms": max(end - start for start, end in outcome.times) * 1e3,
        "longest_without_pauses_ms": max(own_ms),
        "late": sum((end - start) * 1e3 > late_ms for start, end in outcome.times),
        "late_without_pauses": sum(own > late_ms for own in own_ms),
        "longest_pause_of_this_process_ms": pauses.longest_ms(),
        **outcome.where,
    }


def _ask_over(port: int, numbers: range, timeout_s: float, trouble: float, outcome: Outcome) -> None:
    """The requests of one client, over a spoilt link of its own."""
    description = links.manifest()
    link = links.SpoiltLink(port, trouble, seed=numbers.start)
    client = SplitClient(Server("127.0.0.1", link.port), description, timeout_s)
    session = SplitSession(
        description,
        dict,
        client,
        FallbackPolicy(local_ms=1e9, deadline_ms=1e9, rest_s=0.0, longest_rest_s=0.0),
        lambda inputs: {"scores": links.scores(inputs["latent"])},
    )
    for number in numbers:
        latent, started = links.latent(number), time.perf_counter()
        done = session.run({"latent": latent})
        outcome.times.append((started, time.perf_counter()))
        outcome.wrong += not np.array_equal(done.outputs["scores"], links.scores(latent))
        outcome.where[done.where.value] += 1
    client.close()
    link.close()


def load(clients: int, seconds: float, tail_ms: float) -> dict[str, float]:
    """Requests a second over the link against those of the tail alone, whose time is spent as one core spends it."""
    description = links.manifest()
    coding = PayloadCoding(description)
    payload = coding.pack({"latent": links.latent(0)})
    matrix = np.random.default_rng(0).standard_normal((384, 384)).astype(np.float32)

    def tail(requests: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
        for _ in requests:
            began = time.perf_counter()
            while time.perf_counter() - began < tail_ms * 1e-3:
                matrix @ matrix
        return links.tail(requests)

    began, bare = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        tail([{"latent": links.latent(0)}])
        bare += 1
    bare_rate = bare / (time.perf_counter() - began)
    counts = [0] * clients
    with links.serving(description, run=tail) as (_, port):
        until = time.perf_counter() + seconds

        def work(number: int) -> None:
            client = SplitClient(Server("127.0.0.1", port), description, 30.0)
            while time.perf_counter() < until:
                client.ask(payload, coding.coding, coding.shape)
                counts[number] += 1
            client.close()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rate = sum(counts) / (time.perf_counter() - began)
    return {
        "clients": clients,
        "tail_ms": tail_ms,
        "bare_per_s": bare_rate,
        "served_per_s": rate,
        "share": rate / bare_rate,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="over links that fail; 0: load alone")
    parser.add_argument("--timeout", type=float, default=0.1)
    parser.add_argument("--trouble", type=float, default=0.1)
    parser.add_argument("--clients", type=int, default=64, help="under load")
    parser.add_argument("--spoilt-clients", type=int, default=1, help="at once over links that fail")
    parser.add_argument("--seconds", type=float, default=10.0, help="under load")
    parser.add_argument("--loads", type=int, default=1, help="how often the load is measured")
    parser.add_argument("--tail-ms", type=float, default=5.0)
    parser.add_argument("--shaped", action="store_true", help="change the loopback link of this network namespace too")
    parser.add_argument("--out", type=Path, help="also write what was found to a file")
    given = parser.parse_args()
    found: dict[str, dict[str, float] | list[dict[str, float]]] = {}
    if not given.shaped:
        found["load"] = [load(given.clients, given.seconds, given.tail_ms) for _ in range(given.loads)]
    if given.requests:
        found["faults"] = faults(
            given.requests, given.timeout, given.trouble, given.spoilt_clients, shaped=given.shaped
        )
    print(json.dumps(found))
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
