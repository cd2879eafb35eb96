"""Power of this board from the sensors on its supply rails (INA219, INA226, INA3221, as on the Jetson modules).

The rail that feeds the whole module is read (`VDD_IN` on Orin and Xavier, `POM_5V_IN` on Nano and TX2), by the kernel's
hwmon interface: volts x amperes of a channel.
Source: Linux kernel documentation, hwmon sysfs interface; NVIDIA Jetson Linux Developer Guide, Platform Power and
Performance, "Power Monitors".
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SENSORS = Path("/sys/class/hwmon")
_WHOLE_MODULE = ("VDD_IN", "POM_5V_IN", "VIN", "VIN_SYS_5V0")
_SECONDS_BETWEEN_SAMPLES = 0.005


@dataclass(frozen=True)
class Rail:
    """A supply rail.

    Attributes:
        name: what the board calls it.
        millivolts: file of its voltage.
        milliamperes: file of its current.
    """

    name: str
    millivolts: Path
    milliamperes: Path

    def watts(self) -> float:
        """Power at this moment.

        Raises:
            OSError: the sensor cannot be read.
        """
        volts, amperes = (int(file.read_text(encoding="ascii")) / 1e3 for file in (self.millivolts, self.milliamperes))
        return volts * amperes


@dataclass
class Draw:
    """Samples of power while something ran, in watts."""

    watts: list[float] = field(default_factory=list)

    @property
    def mean_w(self) -> float:
        """Mean of the samples."""
        return sum(self.watts) / len(self.watts)


def find_rail(sensors: Path = SENSORS) -> Rail | None:
    """The rail that feeds the whole module; None if no sensor says that it measures it."""
    for label in sorted(sensors.glob("hwmon*/in*_label")):
        name = label.read_text(encoding="ascii").strip()
        channel = label.name.removeprefix("in").removesuffix("_label")
        current = label.with_name(f"curr{channel}_input")
        if name.upper() in _WHOLE_MODULE and current.exists():
            return Rail(name, label.with_name(f"in{channel}_input"), current)
    return None


@contextmanager
def sampled(rail: Rail) -> Iterator[Draw]:
    """Sample the rail by a thread while the block runs; at least once.

    Raises:
        OSError: the sensor cannot be read, at the end if it failed meanwhile.
    """
    draw = Draw([rail.watts()])
    finished = threading.Event()
    faults: list[OSError] = []

    def sample() -> None:
        try:
            while not finished.wait(_SECONDS_BETWEEN_SAMPLES):
                draw.watts.append(rail.watts())
        except OSError as fault:
            faults.append(fault)

    thread = threading.Thread(target=sample, name="power-rail")
    thread.start()
    try:
        yield draw
    finally:
        finished.set()
        thread.join()
    if faults:
        raise faults[0]
