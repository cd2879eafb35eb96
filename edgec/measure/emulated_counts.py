"""Instructions of one inference, counted in an emulator: the same number on every machine and in every run.

The count is a figure to compare builds by, and a budget that no noise breaks. It is no time: instructions differ in
cost, and an emulator knows no caches.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from edgec.core.cache import Cache, cache_folder, key_of
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.metric import Metric, Mode, Unavailable, exact
from edgec.measure.running import Sample, can_run, launch, runner_command, write_inputs

_CALLS = 2
_FIRST_EMULATOR_OF_INTERFACE_2 = 9
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class InstructionCounts:
    """Instructions of one inference.

    Attributes:
        total: instructions executed from the call of the artefact's function to its return, by all threads.
        functions: the share of each function of the executable; empty where the total is unavailable.
    """

    total: Metric
    functions: Mapping[str, int] = field(default_factory=dict)


def count_instructions(
    folder: Path, interface: Interface, sample: Sample, *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> InstructionCounts:
    """Count the instructions of one inference of the artefact in `folder`.

    The second of two calls is counted: the first may set up what later calls find. Where an emulator, a tool or a
    symbol is missing, the count is unavailable with the reason.

    Raises:
        EdgecError: EC065x where the artefact itself fails.
    """
    reason = can_run(interface)
    if reason is None and not interface.emulator:
        reason = "the target is this machine; instructions are counted in an emulator of another"
    if reason is not None:
        return InstructionCounts(Unavailable(unavailable=reason))
    try:
        plugin = _plugin(interface.emulator[0])
    except EdgecError as fault:
        return InstructionCounts(Unavailable(unavailable=f"the counter could not be built: {fault.what}"))
    lines = _count(folder, interface, sample, plugin, timeout_seconds)
    calls = [int(line.split()[1]) for line in lines if line.startswith("call ")]
    if len(calls) < _CALLS:
        missing = f"the executable names no function {_function(interface)} (was it stripped?)"
        return InstructionCounts(Unavailable(unavailable=missing))
    shares = (line.rsplit(" ", 1) for line in lines if line.startswith("function "))
    functions = {name.removeprefix("function "): int(count) for name, count in shares}
    source = f"{' '.join(interface.emulator)}, one call of {_function(interface)}"
    return InstructionCounts(exact(float(calls[-1]), Mode.SIMULATED, source), dict(sorted(functions.items())))


def _count(folder: Path, interface: Interface, sample: Sample, plugin: bytes, timeout_seconds: float) -> list[str]:
    """Lines that the plugin wrote, from a run whose environment and arguments are the same everywhere."""
    *emulator, runner = runner_command(folder, interface)
    with tempfile.TemporaryDirectory(prefix="edgec-count-") as name:
        scratch = Path(name)
        write_inputs(scratch / "inputs.bin", interface, sample)
        (scratch / "runner").symlink_to(runner)
        (scratch / "plugin.so").write_bytes(plugin)
        options = f"./plugin.so,function={_function(interface)},out=counts.txt"
        program = ["./runner", "inputs.bin", "outputs.bin", "--iterations", str(_CALLS)]
        command = [str(shutil.which(emulator[0])), "-plugin", options, *emulator[1:], *program]
        launch(command, timeout_seconds=timeout_seconds, environment={"LC_ALL": "C"}, folder=scratch)
        return (scratch / "counts.txt").read_text(encoding="utf-8").splitlines()


def _function(interface: Interface) -> str:
    """The function that the runner calls for an inference."""
    return f"{interface.symbol}_run_traced"


def _plugin(emulator: str) -> bytes:
    """The compiled plugin for an emulator, from the cache or made now.

    Raises:
        EdgecError: EC0901 if the compiler is missing or fails.
    """
    source = resources.files("edgec.hw").joinpath("emulation", "instruction_count.c").read_bytes()
    version = _interface_version(emulator)
    cache = Cache()
    key = key_of("instruction_count", source, str(version))
    stored = cache.get(key)
    if stored is not None:
        return stored
    with tempfile.TemporaryDirectory(prefix="edgec-plugin-") as name:
        scratch = Path(name)
        (scratch / "instruction_count.c").write_bytes(source)
        options = ["-shared", "-fPIC", "-O2", f"-DQEMU_PLUGIN_VERSION={version}", "-o", "made.so"]
        command = [sys.executable, "-m", "ziglang", "cc", *options, "instruction_count.c"]
        # Not in the folder of the plugin: the compiler's own cache is to outlive it.
        zig = str(cache_folder() / "zig")
        environment = {"ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": f"{zig}/local", **os.environ}
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, check=False)
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise EdgecError(TOOL_MISSING, f"zig cc failed: {' '.join(last)}", hint="pip install 'edgec[tvm]'")
        made = (scratch / "made.so").read_bytes()
    cache.put(key, made)
    return made


def _interface_version(emulator: str) -> int:
    """A version of the plugin interface that the emulator accepts: QEMU 9.0 and later take 2, those before 1."""
    printed = launch([emulator, "--version"], timeout_seconds=10)
    found = re.search(r"version (\d+)", printed)
    return 2 if found and int(found.group(1)) >= _FIRST_EMULATOR_OF_INTERFACE_2 else 1
