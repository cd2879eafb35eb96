"""The published latencies, networks and devices as matrices."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from latency_model import Matrix, Observations
from numpy.typing import NDArray

from edgec.measure.prediction_work import Cost

DEVICES = Path(__file__).with_name("ncnn_devices.csv")
GROUP_CALLS = "group_call"
DATASHEET_NUMBERS = ("macs_per_cycle", "clock_ghz", "threads", "bandwidth_gbps")
FEWEST_LATENCIES = 8
INTEGER_SUFFIX = "_int8"


def _expected() -> Matrix:
    """How rates depend on constant, `DATASHEET_NUMBERS` and fp16 arithmetic if nothing is known but physics."""
    columns = []
    for name in (*Cost, GROUP_CALLS):
        if "mmac" in name or "million" in name:
            columns.append([0.0, -1.0, -1.0, -0.8, 0.0, -0.5])
        elif name.endswith("mb"):
            columns.append([0.0, 0.0, -0.7, -0.4, 0.0, 0.0])
        else:
            columns.append([0.0, 0.0, -1.0, 0.0, 0.0, 0.0])
    return np.array(columns).T


EXPECTED = _expected()
START = np.log([100, 33, 100, 200, 100, 33, 33, 100, 100, 167, 1000, 7, 3, 3])
"""Logarithms of microseconds: rates of a slow core, to start from."""


@dataclass(frozen=True)
class Setup:
    """A device with a number of threads on one of its clusters, or its graphics processor.

    Attributes:
        device: its number in the list.
        name: its name there.
        threads: that ncnn was given.
        powersave: ncnn's number of the cluster: 0 all cores, 1 the small ones, 2 the large ones.
        gpu: number of the graphics processor; -1 for none.
        sheet: the datasheet's numbers, see `DATASHEET_NUMBERS`; empty for graphics processors.
        half_arithmetic: whether ncnn computes in fp16.
    """

    device: int
    name: str
    threads: int
    powersave: int
    gpu: int
    sheet: tuple[float, ...]
    half_arithmetic: bool


@dataclass(frozen=True)
class Table:
    """Latencies in milliseconds by set-up and network, and the work of the networks."""

    setups: list[Setup]
    networks: list[str]
    work: Matrix
    latency: dict[tuple[Setup, str], float]

    def only(self, setups: list[Setup]) -> Table:
        """The same for those of its set-ups that are among `setups`."""
        return Table([each for each in self.setups if each in setups], self.networks, self.work, self.latency)


def read_networks(path: Path) -> dict[str, list[float]]:
    """Work of each network by class."""
    with path.open() as file:
        return {row["network"]: [float(row[name]) for name in (*Cost, GROUP_CALLS)] for row in csv.DictReader(file)}


def read_latencies(path: Path, networks: dict[str, list[float]], *, gpu: bool, fewest: int = FEWEST_LATENCIES) -> Table:
    """The latencies of processors, or of graphics processors, on set-ups that have enough of them."""
    with DEVICES.open() as file:
        sheets = list(csv.DictReader(file))
    found: dict[Setup, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open() as file:
        for row in csv.DictReader(file):
            if (row["gpu"] != "-1") == gpu and row["network"] in networks:
                found[_setup(row, sheets)][row["network"]].append(float(row["ms"]))
    work = np.array(list(networks.values()))
    if gpu:
        work = _as_on_graphics(work)
    setups = [setup for setup, latencies in found.items() if len(latencies) >= fewest]
    latency = {
        (setup, network): math.exp(float(np.mean(np.log(repeats))))
        for setup in setups
        for network, repeats in found[setup].items()
    }
    return Table(setups, list(networks), work, latency)


def _as_on_graphics(work: Matrix) -> Matrix:
    """Fewer classes, as few networks tell them apart there: all data is traffic, and all calls are kernels."""
    index = {cost: at for at, cost in enumerate(Cost)}
    merged = work.copy()
    for source, goal in ((Cost.MOVED, Cost.TRAFFIC), (Cost.STREAMED, Cost.TRAFFIC), (Cost.LIGHT_KERNEL, Cost.KERNEL)):
        merged[:, index[goal]] += merged[:, index[source]]
        merged[:, index[source]] = 0
    merged[:, [index[Cost.SHALLOW], index[Cost.TRANSCENDENTAL]]] = 0
    return merged


def _setup(row: dict[str, str], sheets: list[dict[str, str]]) -> Setup:
    own = [each for each in sheets if each["device"] == row["device"] and each["powersave"] in ("*", row["powersave"])]
    sheet = min(own, key=lambda each: each["powersave"] == "*")
    threads, gpu = int(row["threads"]), int(row["gpu"])
    numbers: tuple[float, ...] = ()
    if gpu < 0:
        used = min(threads, int(sheet["cores"]))
        numbers = (float(sheet["macs_per_cycle"]), float(sheet["clock_ghz"]), used, float(sheet["bandwidth_gbps"]))
    half = gpu < 0 and sheet["half_arithmetic"] == "1"
    return Setup(int(row["device"]), sheet["name"], threads, int(row["powersave"]), gpu, numbers, half)


def observations(table: Table) -> Observations:
    """As matrices, logarithms of microseconds."""
    shape = (len(table.setups), len(table.networks))
    latency, seen = np.zeros(shape), np.zeros(shape)
    for at, setup in enumerate(table.setups):
        for column, network in enumerate(table.networks):
            if (setup, network) in table.latency:
                latency[at, column], seen[at, column] = math.log(table.latency[setup, network] * 1e3), 1
    sheet = np.array(
        [[1.0, *np.log(setup.sheet), *[float(setup.half_arithmetic)] * bool(setup.sheet)] for setup in table.setups]
    )
    return Observations(table.work, latency, seen, sheet)


def integer_networks(networks: list[str]) -> NDArray[np.bool_]:
    """Which networks are of int8."""
    return np.array([name.endswith(INTEGER_SUFFIX) for name in networks])


def families(networks: list[str]) -> list[NDArray[np.bool_]]:
    """Masks of the networks that are one network in fp32 and int8."""
    bases = [name.removesuffix(INTEGER_SUFFIX) for name in networks]
    return [np.array([base == each for base in bases]) for each in dict.fromkeys(bases)]
