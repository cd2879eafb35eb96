"""Running an artefact by its own executable, natively or in an emulator.

The runner's protocol: `RUNNER INPUTS.bin OUTPUTS.bin [--warmup N] [--iterations N] [--trace FILE]`. INPUTS.bin and
OUTPUTS.bin hold the raw tensors, one after the other in the order of the interface. Standard output has one JSON line
an iteration, `{"iteration": 0, "nanoseconds": 123456}`; the trace has one line a kernel call,
`{"step": 3, "nanoseconds": 1234}`, with the mean over the iterations of the time it took in each.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgec.core.codes.running import (
    ARTIFACT_CRASHED,
    ARTIFACT_INPUT,
    ARTIFACT_NOT_RUNNABLE,
    ARTIFACT_OUTPUT,
    ARTIFACT_TIMED_OUT,
)
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.tensor import Sample
from edgec.measure.graphics import why_no_graphics

INSTALL_EMULATOR = "apt install qemu-user"
TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class ArtifactRun:
    """What came back.

    Attributes:
        outputs: for every sample the outputs by name.
        iteration_ns: wall time of each iteration in nanoseconds, sample after sample, without warm-up.
        step_ns: for every sample the mean nanoseconds an iteration of each kernel call, in order; empty without a
            trace.
    """

    outputs: tuple[dict[str, NDArray[np.generic]], ...]
    iteration_ns: tuple[int, ...]
    step_ns: tuple[tuple[int, ...], ...]


class Runs(Protocol):
    """Runs one artefact on samples, here or on a board; arguments as those of `run_artifact`."""

    def __call__(
        self, samples: Sequence[Sample], *, warmup: int = 0, iterations: int = 1, trace: bool = False
    ) -> ArtifactRun:
        """What came back."""


def can_run(interface: Interface) -> str | None:
    """Why an artefact cannot be run on this machine; None if it can."""
    if interface.runner is None:
        return "the artefact has no executable for this target"
    if interface.emulator and shutil.which(interface.emulator[0]) is None:
        return f"the emulator {interface.emulator[0]} is not installed ({INSTALL_EMULATOR})"
    return why_no_graphics(interface.graphics, interface.machine) if interface.graphics else None


def run_artifact(
    folder: Path,
    interface: Interface,
    samples: Sequence[Sample],
    *,
    warmup: int = 0,
    iterations: int = 1,
    trace: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> ArtifactRun:
    """Run the artefact in `folder` on every sample, one process a sample.

    Args:
        folder: the artefact.
        interface: its interface.
        samples: inputs by name, of the interface's element types and shapes.
        warmup: untimed iterations before the timed ones.
        iterations: timed iterations a sample.
        trace: whether to time every kernel call.
        timeout_seconds: limit for each process.

    Raises:
        EdgecError: EC0650 no executable, EC0901 no emulator, EC0651 a crash, EC0652 the time limit, EC0653 a broken
            protocol, EC0654 inputs that do not fit.
    """
    options = ["--warmup", str(warmup), "--iterations", str(iterations)]
    outputs, nanoseconds, steps = [], [], []
    with tempfile.TemporaryDirectory(prefix="edgec-run-") as name:
        scratch = Path(name)
        if trace:
            options += ["--trace", str(scratch / "trace.jsonl")]
        command = [
            *runner_command(folder, interface),
            str(scratch / "inputs.bin"),
            str(scratch / "outputs.bin"),
            *options,
        ]
        for sample in samples:
            write_inputs(scratch / "inputs.bin", interface, sample)
            printed = launch(command, timeout_seconds=timeout_seconds)
            outputs.append(read_outputs(scratch / "outputs.bin", interface))
            nanoseconds += read_column(printed, "nanoseconds")
            if len(nanoseconds) != len(outputs) * iterations:
                raise _broken(f"the runner timed another number of iterations than the {iterations} asked for")
            if trace:
                steps.append(read_trace(scratch / "trace.jsonl"))
    return ArtifactRun(tuple(outputs), tuple(nanoseconds), tuple(steps))


def runner_command(folder: Path, interface: Interface) -> list[str]:
    """The command that starts the runner, without its arguments.

    Raises:
        EdgecError: EC0650 no executable, EC0901 no emulator.
    """
    if interface.runner is None:
        raise EdgecError(
            ARTIFACT_NOT_RUNNABLE,
            "the artefact has no executable for its target",
            where=str(folder),
            hint="build for a target that has an operating system or an emulator",
        )
    if interface.emulator and shutil.which(interface.emulator[0]) is None:
        raise EdgecError(
            TOOL_MISSING,
            f"the emulator {interface.emulator[0]} is not on PATH",
            where=str(folder),
            hint=INSTALL_EMULATOR,
        )
    return [*interface.emulator, str((folder / interface.runner).resolve())]


def write_inputs(path: Path, interface: Interface, sample: Sample) -> None:
    """Write a sample as the runner reads it.

    Raises:
        EdgecError: EC0654 for a missing array, or one of another element type or shape.
    """
    parts = []
    for spec in interface.inputs:
        array = sample.get(spec.name)
        if array is None or array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
            got = "nothing" if array is None else f"{array.dtype} {list(array.shape)}"
            raise EdgecError(
                ARTIFACT_INPUT,
                f"input {spec.name!r} takes {spec.dtype} {list(spec.shape)}; got {got}",
                hint=f"give one array for each of {', '.join(each.name for each in interface.inputs)}",
            )
        parts.append(np.ascontiguousarray(array).tobytes())
    path.write_bytes(b"".join(parts))


def launch(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a command to its end and give back what it printed; arguments and errors as those of `finish`."""
    done = finish(command, timeout_seconds=timeout_seconds, environment=environment, folder=folder)
    return done.stdout.decode(errors="replace")


def finish(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end.

    Args:
        command: program and arguments.
        timeout_seconds: limit of wall time.
        environment: the process's whole environment; this process's own if left out.
        folder: where the process runs; this process's own working folder if left out.

    Raises:
        EdgecError: EC0651 for a signal or a status other than 0, EC0652 at the time limit.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as fault:
        raise EdgecError(
            ARTIFACT_TIMED_OUT,
            f"{Path(command[0]).name} was stopped after {timeout_seconds:g} s",
            hint="run fewer samples or iterations",
        ) from fault
    except OSError as fault:
        raise EdgecError(
            ARTIFACT_CRASHED,
            f"{command[0]} cannot be started: {fault.strerror}",
            hint="check that the artefact was built for this machine",
        ) from fault
    if done.returncode != 0:
        raise _crash(command, done)
    return done


def _crash(command: Sequence[str], done: subprocess.CompletedProcess[bytes]) -> EdgecError:
    status = done.returncode
    how = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    illegal = status == -signal.SIGILL
    return EdgecError(
        ARTIFACT_CRASHED,
        f"{Path(command[0]).name} {how}",
        hint="the core lacks an instruction that the target promises; build for an older core"
        if illegal
        else "build again with this version of edgec; if it crashes again, report the model",
        details=tuple(said[-5:]),
    )


def read_outputs(path: Path, interface: Interface) -> dict[str, NDArray[np.generic]]:
    """The outputs by name from the file that a runner wrote for one sample.

    Raises:
        EdgecError: EC0653 for a file of another size.
    """
    return read_every_output(path, interface, 1)[0]


def read_every_output(path: Path, interface: Interface, samples: int) -> tuple[dict[str, NDArray[np.generic]], ...]:
    """The outputs by name of each of some samples that follow each other in a file.

    Raises:
        EdgecError: EC0653 for a file of another size.
    """
    raw = path.read_bytes() if path.exists() else b""
    expected = samples * sum(spec.size_bytes for spec in interface.outputs)
    if len(raw) != expected:
        raise _broken(f"the runner wrote {len(raw)} bytes of outputs; its interface says {expected}")
    rows, position = [], 0
    for _ in range(samples):
        outputs = {}
        for spec in interface.outputs:
            flat = np.frombuffer(raw, np.dtype(spec.dtype), spec.elements, position)
            outputs[spec.name] = flat.reshape(spec.shape).copy()
            position += spec.size_bytes
        rows.append(outputs)
    return tuple(rows)


def read_column(printed: str, key: str) -> list[int]:
    """One integer of every JSON line.

    Raises:
        EdgecError: EC0653 for a line that has none.
    """
    try:
        return [int(json.loads(line)[key]) for line in printed.splitlines() if line.strip()]
    except (ValueError, KeyError, TypeError) as fault:
        raise _broken(f"the runner's line is no timing: {fault}") from fault


def read_trace(path: Path) -> tuple[int, ...]:
    """Nanoseconds of each kernel call from the trace that the runner wrote.

    Raises:
        EdgecError: EC0653 for steps that are not numbered from 0.
    """
    printed = path.read_text(encoding="ascii") if path.exists() else ""
    if read_column(printed, "step") != list(range(printed.count("\n"))):
        raise _broken("the steps of the trace are not numbered from 0")
    return tuple(read_column(printed, "nanoseconds"))


def _broken(what: str) -> EdgecError:
    return EdgecError(ARTIFACT_OUTPUT, what, hint="build the artefact again with this version of edgec")
