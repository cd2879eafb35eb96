"""Energy of an inference on this machine: from the processor's own counters (RAPL), else from a sensor on its supply.

The counters hold whole packages: what else the machine does is counted too, and memory and board are not. A sensor on
the supply (`energy_rails.py`) sees the whole module.
Source: Linux kernel documentation, Power Capping Framework; Intel SDM volume 3, 15.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgec.core.interface import Interface
from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.core.tensor import Sample
from edgec.measure.energy_rails import SENSORS, Rail, find_rail, sampled
from edgec.measure.running import run_artifact

COUNTERS = Path("/sys/class/powercap")
_REPEATS = 3
_SECONDS = 1.0
_MOST_ITERATIONS = 20_000
_MICROJOULES_PER_MILLIJOULE = 1e3


@dataclass(frozen=True)
class _Package:
    counter: Path
    wraps_at: int

    def read(self) -> int:
        """Microjoules since some start, modulo `wraps_at`."""
        return int(self.counter.read_text(encoding="ascii"))


def energy_on_host(
    folder: Path, interface: Interface, sample: Sample, *, counters: Path = COUNTERS, sensors: Path = SENSORS
) -> Metric:
    """Millijoules of one inference of an artefact on this machine, or why they cannot be had.

    Args:
        folder: an artefact that runs natively.
        interface: its interface.
        sample: the inputs of every iteration.
        counters: folder of the kernel's power-capping zones.
        sensors: folder of the kernel's hardware monitors.

    Raises:
        EdgecError: as `run_artifact`.
    """
    packages, reason = _readable_packages(counters)
    rail = None if packages else find_rail(sensors)
    if not packages and rail is None:
        return Unavailable(unavailable=f"{reason}; no sensor under {sensors} measures the supply of the whole module")
    probe = run_artifact(folder, interface, [sample], warmup=1, iterations=1).iteration_ns[0]
    iterations = min(max(1, int(_SECONDS * 1e9 / max(probe, 1))), _MOST_ITERATIONS)
    if rail is not None:
        return _from_rail(rail, folder, interface, sample, iterations)
    energies = sorted(_once(packages, folder, interface, sample, iterations) for _ in range(_REPEATS))
    source = f"RAPL of {len(packages)} packages, {iterations} iterations with start-up, the whole package's draw"
    return _middle(energies, source)


def _readable_packages(counters: Path) -> tuple[list[_Package], str]:
    """The packages, or none and the reason."""
    try:
        packages = _packages(counters)
        for package in packages:
            package.read()
    except OSError as fault:
        return [], f"the processor's energy counters cannot be read: {fault}"
    return packages, "" if packages else f"this machine shows no energy counters under {counters}"


def _from_rail(rail: Rail, folder: Path, interface: Interface, sample: Sample, iterations: int) -> Metric:
    energies = []
    for _ in range(_REPEATS):
        try:
            with sampled(rail) as draw:
                run = run_artifact(folder, interface, [sample], iterations=iterations)
        except OSError as fault:
            return Unavailable(unavailable=f"the sensor of the rail {rail.name} cannot be read: {fault}")
        milliseconds = sum(run.iteration_ns) / len(run.iteration_ns) / 1e6
        energies.append(draw.mean_w * milliseconds)
    source = (
        f"sensor of the rail {rail.name}, mean power over {iterations} iterations times their latency, whole module"
    )
    return _middle(sorted(energies), source)


def _middle(energies: list[float], source: str) -> Value:
    return Value(
        value=energies[len(energies) // 2], low=energies[0], high=energies[-1], mode=Mode.MEASURED, source=source
    )


def _once(packages: list[_Package], folder: Path, interface: Interface, sample: Sample, iterations: int) -> float:
    """Millijoules an iteration; start-up is shared out among the iterations."""
    before = [package.read() for package in packages]
    run_artifact(folder, interface, [sample], iterations=iterations)
    used = [(package.read() - start) % package.wraps_at for package, start in zip(packages, before, strict=True)]
    return sum(used) / iterations / _MICROJOULES_PER_MILLIJOULE


def _packages(counters: Path) -> list[_Package]:
    """The top zones, `intel-rapl:0`, …; their sub-zones are parts of them."""
    zones = [zone for zone in sorted(counters.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    return [
        _Package(zone / "energy_uj", int((zone / "max_energy_range_uj").read_text(encoding="ascii"))) for zone in zones
    ]
