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
from importlib import resources
from pathlib import Path

from edgec.core.cache import Cache, cache_folder, key_of
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.metric import Metric, Mode, Unavailable, exact
from edgec.measure.running import Sample, can_run, launch, runner_command, write_inputs

_INFERENCES = 2
_CLOCK_CALL = 113
_CLOCK_CALLS = {"qemu-arm": 403, "qemu-x86_64": 228}
"""Numbers of Linux's `clock_gettime` (`clock_gettime64` on 32-bit Arm); 113 on every newer architecture."""
_FIRST_EMULATOR_OF_INTERFACE_2 = 9
_TIMEOUT_SECONDS = 600.0


def count_instructions(
    folder: Path, interface: Interface, sample: Sample, *, timeout_seconds: float = _TIMEOUT_SECONDS
) -> Metric:
    """Count the instructions of one inference of the artefact in `folder`, those of all its threads.

    The runner reads the clock before and after each inference; what is executed between the two is counted, the two
    readings with it. The second of two inferences is taken: the first may set up what later ones find. Where an
    emulator or a tool is missing, the count is unavailable with the reason.

    Raises:
        EdgecError: EC065x where the artefact itself fails.
    """
    reason = can_run(interface)
    if reason is None and not interface.emulator:
        reason = "the target is this machine; instructions are counted in an emulator of another"
    if reason is not None:
        return Unavailable(unavailable=reason)
    try:
        plugin = _plugin(interface.emulator[0])
    except EdgecError as fault:
        return Unavailable(unavailable=f"the counter could not be built: {fault.what}")
    intervals = _count(folder, interface, sample, plugin, timeout_seconds)
    if len(intervals) != 2 * _INFERENCES - 1:
        readings = len(intervals) + 1
        return Unavailable(unavailable=f"the executable read the clock {readings} times in {_INFERENCES} inferences")
    source = f"{' '.join(interface.emulator)}, one inference between two readings of the clock"
    return exact(float(intervals[-1]), Mode.SIMULATED, source)


def _count(folder: Path, interface: Interface, sample: Sample, plugin: bytes, timeout_seconds: float) -> list[int]:
    """Instructions between the clock readings of a run whose environment and arguments are the same everywhere."""
    *emulator, runner = runner_command(folder, interface)
    with tempfile.TemporaryDirectory(prefix="edgec-count-") as name:
        scratch = Path(name)
        write_inputs(scratch / "inputs.bin", interface, sample)
        (scratch / "runner").symlink_to(runner)
        (scratch / "plugin.so").write_bytes(plugin)
        clock = _CLOCK_CALLS.get(Path(emulator[0]).name, _CLOCK_CALL)
        program = ["./runner", "inputs.bin", "outputs.bin", "--iterations", str(_INFERENCES)]
        options = f"./plugin.so,call={clock},out=intervals.txt"
        command = [str(shutil.which(emulator[0])), "-plugin", options, *emulator[1:], *program]
        launch(command, timeout_seconds=timeout_seconds, environment={"LC_ALL": "C"}, folder=scratch)
        return [int(line) for line in (scratch / "intervals.txt").read_text(encoding="ascii").splitlines()]


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
