"""Latency of an artefact on the machine that runs edgec, or on a board.

Several processes are started, because the layout of memory differs from one to the next; each warms up, then times
enough iterations. The figure is the median over all iterations. Its band holds the 95 % confidence interval of the
median by order statistics (Le Boudec, Performance Evaluation of Computer and Communication Systems, §2.2) and every
process's own median, because iterations of one process are not independent.

Other work on the machine makes an inference slower and never faster. Where other processes kept a tenth of a core or
more busy meanwhile, the low end of the band is half of the fastest iteration: that much a core's other hardware thread
and the shared caches may take. A quiet machine's latency then lies in the band still.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgec.core.interface import Interface
from edgec.core.metric import Mode, Value
from edgec.core.tensor import Sample
from edgec.measure.machine_load import MachineLoad
from edgec.measure.running import Runs, run_artifact

_PROCESSES = 3
_WARMUP = 3
_LEAST_ITERATIONS = 5
_MOST_ITERATIONS = 2000
_MILLISECOND = 1e6
_CONFIDENCE = 0.95
_CORES_THAT_DISTURB = 0.1
_SHARE_UNDER_LOAD = 0.5
_SHARE_OF_SPREAD_THAT_IS_NOISE = 0.1


@dataclass(frozen=True)
class HostTiming:
    """Latency on one machine.

    Attributes:
        latency_ms: median over all iterations, with its band.
        fastest_ms: the fastest iteration.
        percentiles_ms: milliseconds by percentile (5, 25, 50, 75, 95, 99).
        steps_ms: each kernel call of the artefact in order; they and `remainder_ms` add up to `latency_ms`.
        remainder_ms: what lies between the kernel calls.
        iterations: number of iterations that the figure rests on.
        noise: why to trust the figure less than its band says; empty if the machine was quiet.
    """

    latency_ms: Value
    fastest_ms: float
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
    load = MachineLoad()
    timing = time_runs(partial(run_artifact, folder, interface), sample, seconds=seconds, where="this machine")
    others = load.cores_of_others()
    if others is None or others < _CORES_THAT_DISTURB:
        return timing
    noise = f"other processes kept {others:.1f} cores busy"
    latency = timing.latency_ms
    latency = latency.model_copy(update={"low": min(latency.low, timing.fastest_ms * _SHARE_UNDER_LOAD)})
    return replace(timing, latency_ms=latency, noise="; ".join(filter(None, (timing.noise, noise))))


def time_runs(run: Runs, sample: Sample, *, seconds: float, where: str) -> HostTiming:
    """Time an artefact where `run` runs it.

    Args:
        run: runs the artefact.
        sample: the inputs of every iteration.
        seconds: wall time to spend, roughly; no fewer than 15 iterations are made.
        where: the machine, for the source of the values.

    Raises:
        EdgecError: what `run` raises.
    """
    probe = run([sample], warmup=1, iterations=1).iteration_ns[0]
    affordable = int(seconds * 1e9 / max(probe, 1) / (_PROCESSES + 1))
    iterations = min(max(affordable, _LEAST_ITERATIONS), _MOST_ITERATIONS)
    runs = [run([sample], warmup=_WARMUP, iterations=iterations).iteration_ns for _ in range(_PROCESSES)]
    traced = run([sample] * _PROCESSES, warmup=_WARMUP, iterations=iterations, trace=True)
    every = sorted(nanoseconds for run_ns in runs for nanoseconds in run_ns)
    latency = _median(every, runs, where)
    times = traced.iteration_ns
    totals = [sum(times[start : start + iterations]) / iterations for start in range(0, len(times), iterations)]
    steps, remainder = _divide(latency, totals, traced.step_ns, where)
    fastest = every[0] / _MILLISECOND
    return HostTiming(latency, fastest, _percentiles(every), steps, remainder, len(every), _noise(every))


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """A 95 % confidence interval of the median: order statistics by the binomial distribution.

    Args:
        ordered: the observations, ascending. Below six there is no such interval: the extremes are given.
    """
    count = len(ordered)
    # Each binomial coefficient comes from the one before: made anew they take seconds for some thousand observations.
    tail, below, ways, every_way = 0.0, 0, 1, 2**count
    while below < count // 2 and tail + ways / every_way <= (1 - _CONFIDENCE) / 2:
        tail += ways / every_way
        ways = ways * (count - below) // (below + 1)
        below += 1
    rank = max(below - 1, 0)
    return ordered[rank], ordered[count - 1 - rank]


def _median(every: Sequence[int], runs: Sequence[Sequence[int]], where: str) -> Value:
    low, high = median_interval(every)
    medians = [statistics.median(run) for run in runs]
    return Value(
        value=statistics.median(every) / _MILLISECOND,
        low=min(low, *medians) / _MILLISECOND,
        high=max(high, *medians) / _MILLISECOND,
        mode=Mode.MEASURED,
        source=f"{where}, median of {len(every)} iterations in {len(runs)} processes",
    )


def _divide(
    latency: Value, totals: Sequence[float], steps: Sequence[Sequence[int]], where: str
) -> tuple[tuple[Value, ...], Value]:
    """The latency divided among the kernel calls as the mean iteration of a traced process was.

    Tracing itself takes time, so its times are taken as shares. The process of median length gives the shares, all
    processes their bands.
    """
    middle = sorted(range(len(totals)), key=totals.__getitem__)[len(totals) // 2]
    columns = [
        [process[index] / total for process, total in zip(steps, totals, strict=True)] for index in range(len(steps[0]))
    ]
    rests = [1 - math.fsum(column[row] for column in columns) for row in range(len(totals))]
    source = f"{where}, share of a traced iteration, {len(totals)} processes"

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
    return "; ".join(found)
