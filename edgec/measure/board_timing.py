"""Latency of an artefact on a board: cool and for a while, with the clock and the temperature that it ran at.

A board without a fan is fast for some seconds and slower afterwards. The latency is the burst; the sustained one is
the median over the last quarter of a run of `seconds` without a pause, and stands in the notes with the clocks.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from edgec.core.metric import Value
from edgec.core.tensor import Sample
from edgec.measure.board import BoardSession
from edgec.measure.host_timing import HostTiming, median_interval, time_runs

_CLOCKS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
_GOVERNORS = "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"
_TEMPERATURES = "/sys/class/thermal/thermal_zone[0-9]*/temp"
_LOAD = "/proc/loadavg"
_MILLISECOND = 1e6
_MOST_ITERATIONS = 100_000
_LAST_PART = 4


@dataclass(frozen=True)
class BoardTiming:
    """Latency on a board.

    Attributes:
        burst: a few seconds from rest, as on this machine.
        sustained_ms: median over the last quarter of a run without a pause, with its band.
        notes: clocks, temperatures and what else to know, one sentence each.
    """

    burst: HostTiming
    sustained_ms: Value
    notes: tuple[str, ...]


def time_on_board(
    session: BoardSession, sample: Sample, *, seconds: float = 3.0, sustained_seconds: float = 10.0
) -> BoardTiming:
    """Time an artefact on a board.

    Args:
        session: holds the artefact.
        sample: the inputs of every iteration.
        seconds: time for the burst, roughly.
        sustained_seconds: time for the run without a pause, roughly.

    Raises:
        EdgecError: as `BoardSession.run`.
    """
    patterns = (_CLOCKS, _GOVERNORS, _TEMPERATURES, _LOAD)
    before = session.read_files(patterns)
    burst = time_runs(session.run, sample, seconds=seconds, where=session.address)
    iterations = int(sustained_seconds * 1000 / max(burst.latency_ms.value, 1e-6))
    times = session.run([sample], iterations=min(max(iterations, 4 * _LAST_PART), _MOST_ITERATIONS)).iteration_ns
    after = session.read_files(patterns)
    last = sorted(times[-len(times) // _LAST_PART :])
    low, high = median_interval(last)
    value = statistics.median(last)
    sustained = burst.latency_ms.model_copy(
        update={"value": value / _MILLISECOND, "low": low / _MILLISECOND, "high": high / _MILLISECOND}
    )
    spent = sum(times) / 1e9
    percentiles = ", ".join(f"{percent} % {burst.percentiles_ms[percent]:.4g} ms" for percent in (5, 50, 95, 99))
    notes = (
        f"percentiles on the board: {percentiles}, over {burst.iterations} iterations",
        f"sustained on the board: {sustained.value:.4g} ms at the end of {spent:.1f} s without a pause",
        f"the board before: {board_state(before)}",
        f"the board after: {board_state(after)}",
    )
    noise = (f"the board was not quiet: {burst.noise}",) if burst.noise else ()
    return BoardTiming(burst, sustained, (*notes, *noise))


def board_state(files: Mapping[str, str]) -> str:
    """Clocks, governor, temperatures and load as a phrase, from the first lines of the board's files by path."""
    clocks = [int(text) / 1000 for path, text in files.items() if path.endswith("scaling_cur_freq") and text.isdigit()]
    governors = sorted({text for path, text in files.items() if path.endswith("scaling_governor")})
    degrees = [int(text) / 1000 for path, text in files.items() if path.endswith("/temp") and text.isdigit()]
    load = files.get(_LOAD, "").split(" ")[0]
    parts = [
        f"{min(clocks):.0f} to {max(clocks):.0f} MHz" if clocks else "no clock stated",
        *(f"governor {name}" for name in governors),
        f"{max(degrees):.1f} °C" if degrees else "no temperature stated",
        *([f"load {load}"] if load else []),
    ]
    return ", ".join(parts)
