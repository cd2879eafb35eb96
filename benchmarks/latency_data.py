"""The published latencies, networks and devices as matrices."""

from __future__ import annotations

import csv
import functools
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from latency_forms import GRAPHICS_NUMBERS, Form
from latency_model import Matrix, Observations
from ncnn_networks import INTEGER_SUFFIX
from numpy.typing import NDArray

from edgec.measure.prediction_work import Cost

DEVICES = Path(__file__).with_name("ncnn_devices.csv")
GRAPHICS = Path(__file__).with_name("ncnn_graphics.csv")
FEWEST_LATENCIES = 8
CONTRACTIONS = (Cost.DENSE, Cost.DENSE_3X3, Cost.POINTWISE, Cost.DEPTHWISE)
SIGNIFICANT = 1.73
"""Student's t beyond which one of some twenty networks' correlations is no accident: one side, 5 %."""


@dataclass(frozen=True)
class Setup:
    """A device with a number of threads on one of its clusters, or its graphics processor.

    Attributes:
        device: its number in the list.
        name: its name there.
        threads: that ncnn was given.
        powersave: ncnn's number of the cluster: 0 all cores, 1 the small ones, 2 the large ones.
        gpu: number of the graphics processor; -1 for none.
        sheet: the numbers of the processor's or the graphics processor's datasheet, see `latency_forms.py`.
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


def read_networks(path: Path) -> dict[str, dict[str, float]]:
    """Work of each network by class."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {row.pop("network"): {name: float(amount) for name, amount in row.items()} for row in rows}


def read_latencies(
    path: Path, networks: dict[str, dict[str, float]], form: Form, *, gpu: bool, fewest: int = FEWEST_LATENCIES
) -> Table:
    """The latencies of processors, or of graphics processors, on set-ups that have enough of them."""
    found: dict[Setup, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sheets = _rows(GRAPHICS) if gpu else []
    with path.open() as file:
        for row in csv.DictReader(file):
            if (row["gpu"] != "-1") == gpu and row["network"] in networks:
                found[_setup(row, _rows(DEVICES), sheets)][row["network"]].append(float(row["ms"]))
    latency = {
        (setup, network): math.exp(float(np.mean(np.log(repeats))))
        for setup, latencies in found.items()
        if len(latencies) >= fewest
        for network, repeats in latencies.items()
    }
    work = np.array([[amounts[name] for name in form.classes] for amounts in networks.values()])
    return Table(list(dict.fromkeys(setup for setup, _ in latency)), list(networks), work, latency)


def without_failed(table: Table, networks: dict[str, dict[str, float]]) -> Table:
    """The set-ups without those whose latencies fall as the work grows: the kernels cannot have run there.

    The criterion is a rank correlation of latency with the multiply-accumulates of the fp32 networks that is below zero
    with significance; it knows no prediction.
    """
    kept = [setup for setup in table.setups if not _falls(table, setup, networks)]
    return table.only(kept)


def _falls(table: Table, setup: Setup, networks: dict[str, dict[str, float]]) -> bool:
    seen = [name for name in table.networks if (setup, name) in table.latency and not name.endswith(INTEGER_SUFFIX)]
    work = [math.fsum(networks[name][cost] for cost in CONTRACTIONS) for name in seen]
    latencies = [table.latency[setup, name] for name in seen]
    correlation = float(np.corrcoef([np.argsort(np.argsort(each)) for each in (work, latencies)])[0, 1])
    return correlation * math.sqrt((len(seen) - 2) / (1 - correlation**2)) < -SIGNIFICANT


@functools.cache
def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def _setup(row: dict[str, str], sheets: list[dict[str, str]], graphics: list[dict[str, str]]) -> Setup:
    own = [each for each in sheets if each["device"] == row["device"] and each["powersave"] in ("*", row["powersave"])]
    sheet = min(own, key=lambda each: each["powersave"] == "*")
    threads, gpu = int(row["threads"]), int(row["gpu"])
    half = False
    if gpu >= 0:
        (found,) = [each for each in graphics if (each["device"], each["gpu"]) == (row["device"], row["gpu"])]
        numbers = tuple(float(found[name]) for name in GRAPHICS_NUMBERS)
    else:
        half = sheet["half_arithmetic"] == "1"
        used = min(threads, int(sheet["cores"]))
        numbers = (float(sheet["macs_per_cycle"]), float(sheet["clock_ghz"]), used, float(sheet["bandwidth_gbps"]))
    return Setup(int(row["device"]), sheet["name"], threads, int(row["powersave"]), gpu, numbers, half)


def observations(table: Table) -> Observations:
    """As matrices, logarithms of microseconds."""
    shape = (len(table.setups), len(table.networks))
    latency, seen = np.zeros(shape), np.zeros(shape)
    for at, setup in enumerate(table.setups):
        for column, network in enumerate(table.networks):
            if (setup, network) in table.latency:
                latency[at, column], seen[at, column] = math.log(table.latency[setup, network] * 1e3), 1
    sheet = np.array([[1.0, *np.log(setup.sheet), *_half(setup)] for setup in table.setups])
    return Observations(table.work, latency, seen, sheet)


def _half(setup: Setup) -> list[float]:
    return [float(setup.half_arithmetic)] if setup.gpu < 0 else []


def integer_networks(networks: list[str]) -> NDArray[np.bool_]:
    """Which networks are of int8."""
    return np.array([name.endswith(INTEGER_SUFFIX) for name in networks])


def families(networks: list[str]) -> list[NDArray[np.bool_]]:
    """Masks of the networks that are one network in fp32 and int8."""
    bases = [name.removesuffix(INTEGER_SUFFIX) for name in networks]
    return [np.array([base == each for base in bases]) for each in dict.fromkeys(bases)]
