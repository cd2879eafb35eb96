"""Running the simulator of a hardware artefact: cycles and switching activity."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgec.core.interface import Interface
from edgec.core.tensor import Sample
from edgec.measure.running import finish, read_every_output

TIMEOUT_SECONDS = 1200.0
_CYCLES = re.compile(r"first result after (\d+) cycles, last of (\d+) after (\d+)")


@dataclass(frozen=True)
class Activity:
    """What the simulation of some inferences showed.

    Attributes:
        outputs: for every sample the outputs by name.
        toggles: uint64 [nets], changes of each net, all inferences together.
        latency_cycles: cycles from the first element of an inference to the last of its result; None where the
            design is fully pipelined and its latency a constant.
        interval_cycles: cycles between two inferences; None likewise.
    """

    outputs: tuple[dict[str, NDArray[np.generic]], ...]
    toggles: NDArray[np.uint64]
    latency_cycles: int | None
    interval_cycles: float | None


def simulate(folder: Path, interface: Interface, samples: Sequence[Sample]) -> Activity:
    """Simulate all samples in one run of the artefact's simulator; 64 of them side by side.

    Raises:
        EdgecError: EC0651 to EC0653 where the simulator fails.
    """
    with tempfile.TemporaryDirectory(prefix="edgec-simulate-") as name:
        scratch = Path(name)
        given = (sample[spec.name] for sample in samples for spec in interface.inputs)
        (scratch / "inputs.bin").write_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in given))
        files = (str(scratch / name) for name in ("inputs.bin", "outputs.bin"))
        command = [str(folder / str(interface.runner)), *files, "--toggles", str(scratch / "toggles.bin")]
        done = finish(command, timeout_seconds=TIMEOUT_SECONDS)
        outputs = read_every_output(scratch / "outputs.bin", interface, len(samples))
        toggles = np.frombuffer((scratch / "toggles.bin").read_bytes(), np.uint64)
    found = _CYCLES.search(done.stderr.decode(errors="replace"))
    if found is None:
        return Activity(outputs, toggles, None, None)
    first, count, last = (int(number) for number in found.groups())
    return Activity(outputs, toggles, first, (last - first) / (count - 1) if count > 1 else None)
