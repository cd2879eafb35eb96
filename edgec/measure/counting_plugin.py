"""The emulator's plugin that counts: compiled from `hw/emulation/instruction_count.c` for the emulator at hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

from edgec.core.cache import Cache, cache_folder, key_of
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.measure.running import launch

_FIRST_EMULATOR_OF_INTERFACE_2 = 9


def counting_plugin(emulator: str) -> bytes:
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


def emulator_version(emulator: str) -> str:
    """What the emulator prints as its version, first line."""
    return launch([emulator, "--version"], timeout_seconds=10).splitlines()[0]


def _interface_version(emulator: str) -> int:
    """A version of the plugin interface that the emulator accepts: QEMU 9.0 and later take 2, those before 1."""
    found = re.search(r"version (\d+)", emulator_version(emulator))
    return 2 if found and int(found.group(1)) >= _FIRST_EMULATOR_OF_INTERFACE_2 else 1
