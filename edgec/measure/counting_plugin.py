"""The emulator's plugin that counts: compiled from `hw/emulation/instruction_count.c` for the emulator at hand.

The plugin takes the numbers of two system calls as its events: reading the clock and closing a file.
"""

from __future__ import annotations

import re

from edgec.measure.compiled_source import shared_library
from edgec.measure.running import launch

_FIRST_EMULATOR_OF_INTERFACE_2 = 9
_CLOCK_CALL, _CLOSE_CALL = 113, 57
"""Numbers of Linux's `clock_gettime` and `close` on every newer architecture."""
_CLOCK_CALLS = {"qemu-arm": 403, "qemu-x86_64": 228}
"""Older ones; on 32-bit Arm it is `clock_gettime64`."""
_CLOSE_CALLS = {"qemu-arm": 6, "qemu-x86_64": 3}


def counting_plugin(emulator: str) -> bytes:
    """The compiled plugin for an emulator, from the cache or made now.

    Raises:
        EdgecError: EC0901 if the compiler is missing or fails.
    """
    version = _interface_version(emulator)
    return shared_library("emulation", "instruction_count.c", [f"-DQEMU_PLUGIN_VERSION={version}"])


def event_calls(emulator: str) -> str:
    """The plugin's options that say which system calls are its events, for programs of an emulator."""
    clock, close = _CLOCK_CALLS.get(emulator, _CLOCK_CALL), _CLOSE_CALLS.get(emulator, _CLOSE_CALL)
    return f"clock={clock},close={close}"


def emulator_version(emulator: str) -> str:
    """What the emulator prints as its version, first line."""
    return launch([emulator, "--version"], timeout_seconds=10).splitlines()[0]


def _interface_version(emulator: str) -> int:
    """A version of the plugin interface that the emulator accepts: QEMU 9.0 and later take 2, those before 1."""
    found = re.search(r"version (\d+)", emulator_version(emulator))
    return 2 if found and int(found.group(1)) >= _FIRST_EMULATOR_OF_INTERFACE_2 else 1
