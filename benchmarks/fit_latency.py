"""Fit the latency model of the datasheets to published latencies, and say how far it misses what it has not seen.

    python benchmarks/fit_latency.py              prints the errors
    python benchmarks/fit_latency.py --write      writes the datasheets, the prior and results/latency-model.md
    python benchmarks/fit_latency.py --unseen LATENCIES.csv --networks NETWORKS.csv
                                                  errors on networks that are in neither file of this folder

The latencies (`ncnn_latencies.csv`) are the averages in the README of ncnn's benchmark, https://github.com/Tencent/ncnn,
`benchmark/README.md` (BSD 3-Clause), the devices numbered; `ncnn_devices.csv` names them as the list does and says of
each: multiply-accumulates of fp32 a cycle and core, clock, cores of the cluster, whether ncnn computes in fp16 there,
and the peak bandwidth of the memory. Where the list states a clock or a number of cores it is the list's; the rest is
assumed: common knowledge of the cores and of the usual memory, written down without looking at each vendor's document.
A wrong number there makes the prediction of a device from its datasheet alone worse, and its error says so; devices
that have latencies follow those. `ncnn_graphics.csv` does so for graphics processors: fp32 multiply-accumulates, 1e9 a
second, and bandwidth. `ncnn_networks.csv` counts the work in the networks (`ncnn_networks.py`).

Set-ups whose latencies fall as networks grow are left out (`latency_data.without_failed`): there is one such, a
graphics processor that is given half a millisecond for vgg16 and nine for squeezenet.

Every error is of a network that the fit has not seen on any device, neither in fp32 nor in int8; the interval that is
judged by a network was set by the others.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from latency_data import (
    Setup,
    Table,
    families,
    integer_networks,
    observations,
    read_latencies,
    read_networks,
    without_failed,
)
from latency_forms import PROCESSOR_NUMBERS, Form, graphics, processors
from latency_model import Matrix, Noise, Population, Rates, estimate
from latency_report import Errors, page

from edgec.core.target_files import target_path
from edgec.measure.prediction_work import Cost

FOLDER = Path(__file__).parent
PRIOR = FOLDER.parent / "edgec" / "measure" / "latency_prior.toml"
RESULTS = FOLDER / "results" / "latency-model.md"
FREEDOM = 4.0
PARTS = 10
PROCESSORS, GRAPHICS = processors(), graphics()
TARGETS = {
    "raspberry-pi-3": ("Raspberry Pi 3 Model B+", 0),
    "raspberry-pi-4": ("Raspberry Pi 4 Model B", 0),
    "raspberry-pi-5": ("Raspberry Pi 5 Broadcom BCM2712, Cortex-A76", 0),
    "jetson-nano-cpu": ("NVIDIA Jetson Nano", 0),
    "jetson-orin-nano-cpu": ("NVIDIA Jetson Orin Nano", 0),
    "visionfive2": ("VisionFive2", 0),
}


def noise_of(networks: list[str], form: Form) -> Noise:
    """The scale that each network is expected to miss by."""
    plain, integer = form.scale
    return Noise(np.where(integer_networks(networks), integer, plain), FREEDOM)


def unseen(table: Table, form: Form) -> Errors:
    """Predictions of each family of networks by a fit that has seen none of it on any device."""
    observed, noise = observations(table), noise_of(table.networks, form)
    predicted, spread = np.zeros_like(observed.latency), np.zeros_like(observed.latency)
    for out in families(table.networks):
        _, rates = estimate(observed.without(out), form.start, noise)
        predicted[:, out], spread[:, out] = rates.predict(observed.work[out])
    return Errors.of(table, observed, predicted, np.sqrt(spread**2 + noise.scale**2))


def unseen_devices(table: Table, form: Form) -> Errors:
    """Predictions of each device from its datasheet and other devices' latencies, a tenth of the devices at a time."""
    observed, noise = observations(table), noise_of(table.networks, form)
    predicted, spread = np.zeros_like(observed.latency), np.zeros_like(observed.latency)
    names = sorted({setup.name for setup in table.setups})
    for part in range(PARTS):
        out = np.array([setup.name in names[part::PARTS] for setup in table.setups])
        population, _ = estimate(observed.rows(~out), form.start, noise)
        own = _from_datasheet(population, observed.sheet[out])
        predicted[out], spread[out] = own.predict(observed.work)
    return Errors.of(table, observed, predicted, np.sqrt(spread**2 + noise.scale**2))


def _from_datasheet(population: Population, sheet: Matrix) -> Rates:
    """Rates of set-ups without latencies: the mean, as uncertain as devices differ from it."""
    mean = population.mean(sheet)
    return Rates(mean, np.repeat(population.covariance[None], len(mean), axis=0))


def sections(table: Table, errors: Errors) -> dict[str, str]:
    """The [prediction] section of each datasheet."""
    observed, noise = observations(table), noise_of(table.networks, PROCESSORS)
    _, rates = estimate(observed, PROCESSORS.start, noise)
    made = {}
    for target, (prefix, powersave) in TARGETS.items():
        rows = [
            at
            for at, setup in enumerate(table.setups)
            if setup.name.startswith(prefix) and setup.powersave == powersave
        ]
        made[target] = _section(table.setups, rows, rates, errors)
    return made


def _section(setups: list[Setup], rows: list[int], rates: Rates, errors: Errors) -> str:
    networks = int(errors.seen[rows].any(axis=0).sum())
    half = setups[rows[0]].half_arithmetic
    lines = [
        "[prediction]",
        'basis = "published-measurement"',
        f'source = "fitted by benchmarks/fit_latency.py to ncnn\'s published latencies of {networks} networks"',
        f'arithmetic = "{"float16" if half else "float32"}"',
        f"unseen_error = {errors.share(rows):.3f}",
        f"residual = {PROCESSORS.scale[0]}",
        f"interval = {errors.interval():.2f}",
    ]
    for row in sorted(rows, key=lambda at: setups[at].threads):
        lines += ["", "[[prediction.rates]]", f"threads = {setups[row].threads}"]
        deviations = np.sqrt(np.diagonal(rates.covariances[row]))
        for index, cost in enumerate(Cost):
            value, error = np.exp(rates.logarithms[row, index]), deviations[index]
            lines.append(f"{cost.value} = {{ value = {value:.4g}, error = {error:.2f} }}")
    return "\n".join(lines)


def write_datasheet(target: str, section: str) -> None:
    """Replace the section in the datasheet, or add it before the emulator's."""
    path = target_path(target)
    text = re.sub(r"\[prediction\]\n(?:(?!\n\[(?!\[?prediction)).)*", "", path.read_text(), flags=re.DOTALL)
    head, mark, tail = text.partition("[emulator]")
    path.write_text(f"{head.rstrip()}\n\n{section}\n\n{mark}{tail}" if mark else f"{head.rstrip()}\n\n{section}\n")


def prior(table: Table, errors: Errors) -> str:
    """The rates of a device by its datasheet, for devices without latencies."""
    observed, noise = observations(table), noise_of(table.networks, PROCESSORS)
    population, _ = estimate(observed, PROCESSORS.start, noise)
    lines = [
        "# Rates of a device without latencies, from its datasheet. Written by benchmarks/fit_latency.py.",
        "# Each row: natural logarithm of the rate = constant + sum of coefficient x natural logarithm of the number.",
        f"devices = {len({setup.name for setup in table.setups})}",
        f"unseen_error = {errors.share(list(range(len(table.setups)))):.3f}",
        f"residual = {PROCESSORS.scale[0]}",
        f"interval = {errors.interval():.2f}",
    ]
    deviations = np.sqrt(np.diagonal(population.covariance))
    for index, cost in enumerate(Cost):
        weights = population.weights[:, index]
        numbers = ", ".join(f"{name} = {weights[at + 1]:.3f}" for at, name in enumerate(PROCESSOR_NUMBERS[:-1]))
        lines += ["", f"[{cost.value}]", f"constant = {weights[0]:.3f}", f"error = {deviations[index]:.3f}"]
        lines.append(f"exponents = {{ {numbers} }}")
    return "\n".join(lines) + "\n"


def unseen_networks(table: Table, others: Table, form: Form) -> Errors:
    """Predictions of networks of another list on the set-ups of this one, which has none of them."""
    observed, noise = observations(table), noise_of(table.networks, form)
    _, rates = estimate(observed, form.start, noise)
    rows = [table.setups.index(setup) for setup in others.setups]
    scale = noise_of(others.networks, form).scale
    known = observations(others)
    predicted, spread = Rates(rates.logarithms[rows], rates.covariances[rows]).predict(known.work)
    errors = Errors.of(others, known, predicted, np.sqrt(spread**2 + scale**2))
    return replace(errors, given_interval=unseen(table, form).interval())


def tables() -> tuple[Table, Table]:
    """The published latencies of processors, and of graphics processors."""
    networks = read_networks(FOLDER / "ncnn_networks.csv")
    path = FOLDER / "ncnn_latencies.csv"
    plain = read_latencies(path, networks, PROCESSORS, gpu=False)
    boards = read_latencies(path, networks, GRAPHICS, gpu=True)
    return without_failed(plain, networks), without_failed(boards, networks)


def judge(latencies: Path, path: Path) -> str:
    """The page of errors on networks that are in neither file of this folder."""
    networks = read_networks(path)
    parts = {}
    for title, table, form in zip(("processors", "graphics processors"), tables(), (PROCESSORS, GRAPHICS), strict=True):
        others = read_latencies(latencies, networks, form, gpu=form is GRAPHICS, fewest=1).only(table.setups)
        if others.setups:
            parts[f"unseen networks on {title}"] = unseen_networks(table, others, form)
    return page(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--unseen", type=Path)
    parser.add_argument("--networks", type=Path)
    arguments = parser.parse_args()
    if arguments.unseen:
        print(judge(arguments.unseen, arguments.networks))
        return
    table, boards = tables()
    plain, devices = unseen(table, PROCESSORS), unseen_devices(table, PROCESSORS)
    parts = {"processors": plain, "processors by datasheet alone": devices}
    parts |= {"graphics processors": unseen(boards, GRAPHICS)}
    parts |= {"graphics processors by datasheet alone": unseen_devices(boards, GRAPHICS)}
    text = page(parts)
    print(text)
    if arguments.write:
        RESULTS.write_text(text)
        PRIOR.write_text(prior(table, devices))
        for target, section in sections(table, plain).items():
            write_datasheet(target, section)


if __name__ == "__main__":
    main()
