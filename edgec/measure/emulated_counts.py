"""Instructions, memory accesses and cache misses of one inference, counted in an emulator, per layer and in total.

The counts are the same on every machine and in every run: a figure to compare builds by, and a budget that no noise
breaks. They are no time: instructions differ in cost. The caches are a model of the sizes that the datasheet states,
see `hw/emulation/instruction_count.c`. Programs with AVX-512 are counted by stand-ins, see `avx512_stand_ins.py`.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgec.core.codes.running import ARTIFACT_CRASHED, ARTIFACT_TIMED_OUT
from edgec.core.counts import NO_COUNTS, Counts
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.metric import Metric, Mode, Unavailable, exact
from edgec.core.target import Core
from edgec.core.tensor import Sample
from edgec.measure.avx512_stand_ins import with_stand_ins
from edgec.measure.counting_plugin import counting_plugin, event_calls
from edgec.measure.running import can_run, launch, runner_command, write_inputs

METRICS = tuple(Counts.model_fields)
_WARMUP = 2
_CLOCK_READINGS = 2 * (_WARMUP + 1)
_SAME_ADDRESSES = ("-R", "0x1000000000")
"""QEMU reserves this much address space and places buffers in it as the program alone decides."""
_SYSTEM_RANDOMIZES = frozenset({"qemu-x86_64"})
"""These cannot reserve (the x86 system call page lies beyond): the operating system is told not to randomise."""
_LACKS_AVX512 = frozenset({"qemu-x86_64"})
_ALWAYS_RESERVES = frozenset({"qemu-arm"})
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class EmulatedCounts:
    """Counts of one inference on one thread.

    Attributes:
        total: of the whole inference.
        steps: of each kernel call of the artefact by its number; one that did not run has none.
        source: the emulator and the caches.
    """

    total: Counts
    steps: Mapping[int, Counts]
    source: str

    def metrics(self) -> dict[str, Metric]:
        """The totals as metrics of the report."""
        return {name: exact(float(getattr(self.total, name)), Mode.SIMULATED, self.source) for name in METRICS}


@dataclass(frozen=True)
class _Event:
    """A line of the plugin's output: which event, and the counts since the event before."""

    kind: str
    number: int
    counts: Counts


def count_inference(
    folder: Path, interface: Interface, sample: Sample, core: Core, *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> EmulatedCounts | Unavailable:
    """Count one inference of the artefact in `folder`.

    Three inferences run on one thread: the first fills the caches, the second is counted as a whole, the third by
    kernel call. An artefact for this machine runs in the emulator of its architecture. Where an emulator or a tool is
    missing, or the emulator lacks an instruction of this machine, the counts are unavailable with the reason.

    Raises:
        EdgecError: EC0651 or EC0653 where an artefact for another machine fails.
    """
    if interface.graphics:
        return Unavailable(
            unavailable="the kernels run on a graphics processor; instructions of processors are counted"
        )
    emulator = interface.emulator or _own_emulator()
    reason = can_run(interface.model_copy(update={"emulator": emulator}))
    if reason is not None:
        return Unavailable(unavailable=reason)
    if emulator[0] in _SYSTEM_RANDOMIZES and shutil.which("setarch") is None:
        return Unavailable(unavailable="setarch, which keeps addresses from varying, is not installed (util-linux)")
    try:
        plugin = counting_plugin(emulator[0])
    except EdgecError as fault:
        return Unavailable(unavailable=f"the counter could not be built: {fault.what}")
    try:
        program = _program(folder, interface, emulator)
        if isinstance(program, Unavailable):
            return program
        events = _events(program, interface, sample, core, emulator, plugin, timeout_seconds)
    except EdgecError as fault:
        if fault.code is ARTIFACT_TIMED_OUT:
            return Unavailable(unavailable=f"counting took more than {timeout_seconds:g} s in {emulator[0]}")
        if fault.code is ARTIFACT_CRASHED and not interface.emulator:
            return Unavailable(
                unavailable=f"{emulator[0]} does not run this artefact: it lacks extensions of this processor; a "
                "target with cpu = x86-64-v3 can be counted"
            )
        raise
    stood_in = "" if program == _runner(folder, interface) else ", for AVX-512 others with the same accesses"
    return _divided(events, " ".join(emulator) + stood_in + ", " + _described(core))


def _program(folder: Path, interface: Interface, emulator: tuple[str, ...]) -> bytes | Unavailable:
    """The runner as the emulator can run it."""
    program = _runner(folder, interface)
    return with_stand_ins(program) if emulator[0] in _LACKS_AVX512 else program


def _runner(folder: Path, interface: Interface) -> bytes:
    *_, runner = runner_command(folder, interface)
    return Path(runner).read_bytes()


def _own_emulator() -> tuple[str, ...]:
    """The emulator of this machine's architecture, with every extension that it knows."""
    return (f"qemu-{platform.machine()}", "-cpu", "max")


def _described(core: Core) -> str:
    l1, last = _cache_bytes(core)
    levels = f"{l1 // 1024} KiB" + (f" and {last // 1024} KiB" if last else "")
    return f"one thread, steady state, caches of {levels} (8 ways, lines of 64 bytes, no prefetch)"


def _cache_bytes(core: Core) -> tuple[int, int]:
    """Sizes of the level 1 data cache and of the last level, 0 where there is no other."""
    last = core.l3_kib or core.l2_kib
    return int(core.l1_data_kib.value * 1024), int(last.value * 1024) if last is not None else 0


def _events(
    runner: bytes,
    interface: Interface,
    sample: Sample,
    core: Core,
    emulator: tuple[str, ...],
    plugin: bytes,
    timeout_seconds: float,
) -> list[_Event]:
    """The events of a run whose environment and arguments are the same everywhere."""
    program = ["./runner", "inputs.bin", "outputs.bin", "--warmup", str(_WARMUP), "--mark", "yes"]
    name = emulator[0]
    l1, last = _cache_bytes(core)
    options = f"./plugin.so,{event_calls(name)},l1={l1},last={last},out=events.txt"
    fixed = ("setarch", "-R") if name in _SYSTEM_RANDOMIZES else ()
    reserved = () if name in _SYSTEM_RANDOMIZES | _ALWAYS_RESERVES else _SAME_ADDRESSES
    command = [*fixed, str(shutil.which(name)), "-plugin", options, *reserved, *emulator[1:], *program]
    with tempfile.TemporaryDirectory(prefix="edgec-count-") as folder_name:
        scratch = Path(folder_name)
        write_inputs(scratch / "inputs.bin", interface, sample)
        (scratch / "runner").write_bytes(runner)
        (scratch / "runner").chmod(0o700)
        (scratch / "plugin.so").write_bytes(plugin)
        environment = {"LC_ALL": "C", "EDGEC_THREADS": "1"}
        launch(command, timeout_seconds=timeout_seconds, environment=environment, folder=scratch)
        return list(_parsed((scratch / "events.txt").read_text(encoding="ascii")))


def _parsed(text: str) -> Iterator[_Event]:
    for line in text.splitlines():
        kind, number, *amounts = line.split()
        yield _Event(kind, int(number), Counts(**dict(zip(METRICS, map(int, amounts), strict=True))))


def _divided(events: list[_Event], source: str) -> EmulatedCounts | Unavailable:
    """The second inference as the total, the marks of the third as the steps."""
    clock = [index for index, event in enumerate(events) if event.kind == "clock"]
    if len(clock) != _CLOCK_READINGS:
        inferences = _WARMUP + 1
        return Unavailable(unavailable=f"the executable read the clock {len(clock)} times in {inferences} inferences")
    steps: dict[int, Counts] = {}
    for event in events[clock[-2] + 1 : clock[-1]]:
        step, finished = divmod(event.number, 2)
        if finished:
            steps[step] = steps.get(step, NO_COUNTS) + event.counts
    return EmulatedCounts(events[clock[-3]].counts, steps, source)
