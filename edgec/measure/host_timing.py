"""Latency of an artefact on the machine that runs edgec.

Several processes are started, because the layout of memory differs from one to the next; each warms up, then times
enough iterations. The figure is the median over all iterations. Its band holds the 95 % confidence interval of the
median by order statistics (Le Boudec, Performance Evaluation of Computer and Communication Systems, §2.2) and every
process's own median, because iterations of one process are not independent.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgec.core.interface import Interface
from edgec.core.metric import Mode, Value
from edgec.measure.running import Sample, run_artifact

_PROCESSES = 3
_WARMUP = 3
_LEAST_ITERATIONS = 5
_MOST_ITERATIONS = 2000
_MILLISECOND = 1e6
_CONFIDENCE = 0.95
_SHARE_OF_SPREAD_THAT_IS_NOISE = 0.1


@dataclass(frozen=True)
class HostTiming:
    """Latency on this machine.

    Attributes:
        latency_ms: median over all iterations, with its band.
        percentiles_ms: milliseconds by percentile (5, 25, 50, 75, 95, 99).
        steps_ms: each kernel call of the artefact in order; they and `remainder_ms` add up to `latency_ms`.
        remainder_ms: what lies between the kernel calls.
        iterations: number of iterations that the figure rests on.
        noise: why to trust the figure less than its band says; empty if the machine was quiet.
    """

    latency_ms: Value
    percentiles_ms: dict[int, float]
    steps_ms: tuple[Value, ...]
    remainder_ms: Value
    iterations: int
    noise: str


def time_on_host(folder: Path, interface: Interface, sample: Sample, *, seconds: float = 3.0) -> HostTiming:
    """Time the artefact in `folder` on this machine.

    Args:
        folder: an artefact that runs natively.
        interface: its interface.
        sample: the inputs of every iteration.
        seconds: wall time to spend, roughly; no fewer than 15 iterations are made.

    Raises:
        EdgecError: as `run_artifact`.
    """
    probe = run_artifact(folder, interface, [sample], warmup=1, iterations=1).iteration_ns[0]
    affordable = int(seconds * 1e9 / max(probe, 1) / (_PROCESSES + 1))
    iterations = min(max(affordable, _LEAST_ITERATIONS), _MOST_ITERATIONS)
    runs = [
        run_artifact(folder, interface, [sample], warmup=_WARMUP, iterations=iterations).iteration_ns
        for _ in range(_PROCESSES)
    ]
    traced = run_artifact(folder, interface, [sample] * _PROCESSES, warmup=_WARMUP, iterations=iterations, trace=True)
    every = sorted(nanoseconds for run in runs for nanoseconds in run)
    latency = _median(every, runs)
    times = traced.iteration_ns
    totals = [sum(times[start : start + iterations]) / iterations for start in range(0, len(times), iterations)]
    steps, remainder = _divide(latency, totals, traced.step_ns)
    return HostTiming(latency, _percentiles(every), steps, remainder, len(every), _noise(every))


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """A 95 % confidence interval of the median: order statistics by the binomial distribution.

    Args:
        ordered: the observations, ascending. Below six there is no such interval: the extremes are given.
    """
    count = len(ordered)
    tail, below = 0.0, 0
    while below < count // 2 and tail + math.comb(count, below) / 2**count <= (1 - _CONFIDENCE) / 2:
        tail += math.comb(count, below) / 2**count
        below += 1
    rank = max(below - 1, 0)
    return ordered[rank], ordered[count - 1 - rank]


def _median(every: Sequence[int], runs: Sequence[Sequence[int]]) -> Value:
    low, high = median_interval(every)
    medians = [statistics.median(run) for run in runs]
    return Value(
        value=statistics.median(every) / _MILLISECOND,
        low=min(low, *medians) / _MILLISECOND,
        high=max(high, *medians) / _MILLISECOND,
        mode=Mode.MEASURED,
        source=f"this machine, median of {len(every)} iterations in {len(runs)} processes",
    )


def _divide(latency: Value, totals: Sequence[float], steps: Sequence[Sequence[int]]) -> tuple[tuple[Value, ...], Value]:
    """The latency divided among the kernel calls as the mean iteration of a traced process was.

    Tracing itself takes time, so its times are taken as shares. The process of median length gives the shares, all
    processes their bands.
    """
    middle = sorted(range(len(totals)), key=totals.__getitem__)[len(totals) // 2]
    columns = [
        [process[index] / total for process, total in zip(steps, totals, strict=True)] for index in range(len(steps[0]))
    ]
    rests = [1 - math.fsum(column[row] for column in columns) for row in range(len(totals))]
    source = f"this machine, share of a traced iteration, {len(totals)} processes"

    def part(shares: list[float]) -> Value:
        return Value(
            value=latency.value * shares[middle],
            low=latency.value * min(shares),
            high=latency.value * max(shares),
            mode=Mode.MEASURED,
            source=source,
        )

    return tuple(part(column) for column in columns), part(rests)


def _percentiles(ordered: Sequence[int]) -> dict[int, float]:
    """Nearest-rank percentiles, in milliseconds."""
    ranks = {percent: math.ceil(percent / 100 * len(ordered)) - 1 for percent in (5, 25, 50, 75, 95, 99)}
    return {percent: ordered[max(rank, 0)] / _MILLISECOND for percent, rank in ranks.items()}


def _noise(ordered: Sequence[int]) -> str:
    found = []
    quartiles = statistics.quantiles(ordered, n=4)
    spread = (quartiles[2] - quartiles[0]) / quartiles[1]
    if spread > _SHARE_OF_SPREAD_THAT_IS_NOISE:
        found.append(f"the middle half of the iterations spreads over {spread:.0%} of the median")
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load > cores:
        found.append(f"{load:.1f} processes wanted this machine's {cores} cores")
    return "; ".join(found)
