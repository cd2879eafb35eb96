"""Energy of an inference on this machine, from the processor's own counters (RAPL).

The counters hold whole packages: what else the machine does is counted too, and memory and board are not.
Source: Linux kernel documentation, Power Capping Framework; Intel SDM volume 3, 15.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgec.core.interface import Interface
from edgec.core.metric import Metric, Mode, Unavailable, Value
from edgec.measure.running import Sample, run_artifact

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


def energy_on_host(folder: Path, interface: Interface, sample: Sample, *, counters: Path = COUNTERS) -> Metric:
    """Millijoules of one inference of an artefact on this machine, or why they cannot be had.

    Args:
        folder: an artefact that runs natively.
        interface: its interface.
        sample: the inputs of every iteration.
        counters: folder of the kernel's power-capping zones.

    Raises:
        EdgecError: as `run_artifact`.
    """
    try:
        packages = _packages(counters)
        before = [package.read() for package in packages]
    except OSError as fault:
        return Unavailable(unavailable=f"the processor's energy counters cannot be read: {fault}")
    if not before:
        return Unavailable(unavailable=f"this machine shows no energy counters under {counters}")
    probe = run_artifact(folder, interface, [sample], warmup=1, iterations=1).iteration_ns[0]
    iterations = min(max(1, int(_SECONDS * 1e9 / max(probe, 1))), _MOST_ITERATIONS)
    energies = sorted(_once(packages, folder, interface, sample, iterations) for _ in range(_REPEATS))
    return Value(
        value=energies[_REPEATS // 2],
        low=energies[0],
        high=energies[-1],
        mode=Mode.MEASURED,
        source=f"RAPL of {len(packages)} packages, {iterations} iterations with start-up, the whole package's draw",
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
