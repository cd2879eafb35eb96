"""Fit the [prediction] sections of the datasheets to published latencies, and print how far they miss.

    python benchmarks/fit_latency.py LATENCIES.csv

LATENCIES.csv has the columns device, threads, powersave, gpu, model, avg_ms, as collected from the README of ncnn's
benchmark (https://github.com/Tencent/ncnn, `benchmark/README.md`). `ncnn_networks.csv` beside this script counts the
work of its networks. The model of `edgec/measure/prediction.py` is fitted with one term more, for the 3x3 convolutions
that ncnn does by Winograd's algorithm and edgec does not.

Every residual that is printed is of a network that the fit did not see (leave one network out).
"""

from __future__ import annotations

import csv
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgec.core.target import Target
from edgec.core.target_files import load_target

NETWORKS = Path(__file__).with_name("ncnn_networks.csv")
LEAST_OVERHEAD_MS = 0.001
ENGINE_FACTOR = 1.5
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Device:
    """A datasheet's device in the list.

    Attributes:
        target: name of the datasheet.
        prefix: what its name in the list starts with.
        setups: threads and power-saving mode of the rows to take.
        half_arithmetic: whether ncnn computes in fp16 there, on twice the lanes of fp32.
        half_storage: whether ncnn stores tensors as fp16 there.
    """

    target: str
    prefix: str
    setups: tuple[tuple[int, int], ...]
    half_arithmetic: bool
    half_storage: bool


DEVICES = (
    Device("raspberry-pi-3", "Raspberry Pi 3 Model B+", ((1, 0), (4, 0)), False, True),
    Device("raspberry-pi-4", "Raspberry Pi 4 Model B", ((1, 0), (4, 0)), False, True),
    Device("raspberry-pi-5", "Raspberry Pi 5 Broadcom BCM2712, Cortex-A76", ((1, 0), (4, 0)), True, True),
    Device("jetson-nano", "NVIDIA Jetson Nano", ((1, 0), (4, 0)), False, True),
    Device("jetson-orin-nano", "NVIDIA Jetson Orin Nano", ((1, 0), (6, 0)), True, True),
    Device("visionfive2", "VisionFive2", ((4, 0), (4, 1)), False, False),
)


@dataclass(frozen=True)
class Observations:
    """Latencies in milliseconds, and for each the work: ideal compute, ideal Winograd compute, megabytes, kernels."""

    networks: list[str]
    work: Matrix
    latency: Matrix


def read(path: Path, device: Device, target: Target) -> Observations:
    with NETWORKS.open() as file:
        counted = {row["network"]: row for row in csv.DictReader(file)}
    core = target.core
    lanes = core.fma_per_cycle.value * (2 if device.half_arithmetic else 1)
    names, work, latency = [], [], []
    with path.open() as file:
        for row in csv.DictReader(file):
            setup = (int(row["threads"]), int(row["powersave"]))
            known = row["model"] in counted and row["gpu"] == "-1"
            if not known or not row["device"].startswith(device.prefix) or setup not in device.setups:
                continue
            network = counted[row["model"]]
            macs, winograd = float(network["macs"]), float(network["winograd_macs"])
            macs_per_ms = lanes * core.clock_mhz.value * 1e3 * setup[0]
            megabytes = float(network["bytes"]) / 1e6 * (0.5 if device.half_storage else 1)
            names.append(row["model"])
            work.append([(macs - winograd) / macs_per_ms, winograd / macs_per_ms, megabytes, float(network["kernels"])])
            latency.append(float(row["avg_ms"]))
    return Observations(names, np.array(work), np.array(latency))


def fit(work: Matrix, latency: Matrix) -> Matrix:
    """Non-negative coefficients of least relative squared error; the last is at least `LEAST_OVERHEAD_MS`."""
    relative = work / latency[:, None]
    rest = 1 - relative[:, 3] * LEAST_OVERHEAD_MS
    best, least = np.zeros(4), np.inf
    for size in range(1, 5):
        for chosen in itertools.combinations(range(4), size):
            columns = relative[:, chosen]
            found = np.linalg.lstsq(columns, rest, rcond=None)[0]
            error = float(((columns @ found - rest) ** 2).sum())
            if (found >= 0).all() and error < least:
                best, least = np.zeros(4), error
                best[list(chosen)] = found
    best[3] += LEAST_OVERHEAD_MS
    return best


def unseen_ratios(seen: Observations) -> Matrix:
    """Published over predicted latency of each row, predicted from the other networks."""
    ratios = np.empty(len(seen.networks))
    for network in sorted(set(seen.networks)):
        out = np.array([name == network for name in seen.networks])
        ratios[out] = seen.latency[out] / (seen.work[out] @ fit(seen.work[~out], seen.latency[~out]))
    return ratios


def section(device: Device, seen: Observations, ratios: Matrix) -> str:
    """The datasheet's section."""
    direct, _, per_megabyte, overhead = fit(seen.work, seen.latency)
    low, high = np.quantile(ratios, [0.05, 0.95])
    networks = len(set(seen.networks))
    origin = f"fitted by benchmarks/fit_latency.py to ncnn's published latencies of {networks} networks on this device"
    halves = "; ncnn computes in fp16 here, edgec in fp32 at half the rate" if device.half_arithmetic else ""
    stored = "; ncnn stores fp16, half the bytes" if device.half_storage else ""
    basis = "published-measurement"
    band = f"5 % and 95 % of published over predicted for networks left out of the fit, times {ENGINE_FACTOR}"
    rows = [
        ("compute_efficiency", 1 / direct, origin + halves),
        ("effective_bandwidth_gbps", 1 / per_megabyte, origin + stored),
        ("kernel_overhead_us", overhead * 1e3, origin),
        ("band_low", low / ENGINE_FACTOR, band + " for the other engine"),
        ("band_high", high * ENGINE_FACTOR, band + " for the other engine"),
    ]
    lines = [
        f'{key} = {{ value = {value:.3g}, basis = "{basis}", source = "{source}" }}' for key, value, source in rows
    ]
    return "\n".join(["[prediction]", *lines])


def main() -> None:
    for device in DEVICES:
        target = load_target(device.target)
        seen = read(Path(sys.argv[1]), device, target)
        ratios = unseen_ratios(seen)
        error = np.abs(np.log(ratios))
        print(
            f"# {device.target}: {len(ratios)} latencies; unseen networks miss by x{np.exp(np.median(error)):.2f} ",
            end="",
        )
        print(f"(median), x{np.exp(error.max()):.2f} (worst, {seen.networks[int(error.argmax())]})")
        low, high = np.quantile(ratios, [0.05, 0.95])
        inside = np.mean((ratios >= low / ENGINE_FACTOR) & (ratios <= high * ENGINE_FACTOR))
        print(f"# {inside:.0%} of the unseen latencies lie in the band")
        print(section(device, seen, ratios), end="\n\n")


if __name__ == "__main__":
    main()
