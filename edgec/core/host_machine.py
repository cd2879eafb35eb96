"""The machine that runs edgec, described as a datasheet from what its operating system says."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from edgec.core.codes.target import UNKNOWN_MACHINE
from edgec.core.errors import EdgecError

_CPUINFO = Path("/proc/cpuinfo")
_MEMINFO = Path("/proc/meminfo")
_CPU = Path("/sys/devices/system/cpu/cpu0")


def with_this_machine(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a datasheet whose triple is `native`, with what it leaves out read from this machine.

    Raises:
        EdgecError: EC0504 on an operating system or a processor that edgec cannot describe.
    """
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in ("x86_64", "aarch64", "riscv64"):
        raise EdgecError(
            UNKNOWN_MACHINE,
            f"the target is native, and this machine is {machine} under {platform.system()}",
            hint="build for a named target",
        )
    fields = _processor_fields()
    model = fields.get("model name", machine)
    filled = dict(content)
    filled["title"] = f"{content.get('title', 'This machine')} ({model})"
    filled["core"] = _core(machine, fields) | dict(content.get("core", {}))
    filled["memory"] = _memory() | dict(content.get("memory", {}))
    return filled


def processor_name() -> str:
    """What the operating system calls the processor of this machine."""
    fields = _processor_fields() if _CPUINFO.exists() else {}
    return fields.get("model name", platform.machine())


def _processor_fields() -> dict[str, str]:
    """The first processor of /proc/cpuinfo."""
    first = _CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _quantity(value: float, source: str, *, measured: bool = True) -> dict[str, object]:
    return {"value": value, "basis": "measured-here" if measured else "assumed", "source": source}


def _core(machine: str, fields: dict[str, str]) -> dict[str, object]:
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    bits, registers, vector_flag = _vector_unit(machine, flags)
    vector_source = f"{_CPUINFO}: {vector_flag}"
    core: dict[str, object] = {
        "cores": _quantity(len(os.sched_getaffinity(0)), "processors that this process may run on"),
        "clock_mhz": _clock(fields),
        "vector_bits": _quantity(bits, vector_source),
        "vector_registers": _quantity(registers, vector_source),
        "fma_per_cycle": _quantity(
            2 * bits / 32 if bits > 32 else 1,
            f"two pipes of {bits} bits, not looked up",
            measured=False,
        ),
        "dot_product": _dot_product(flags),
        "l1_data_kib": _cache(1) or _quantity(32, "no cache in sysfs; the usual size", measured=False),
    }
    core.update({f"l{level}_kib": cache for level in (2, 3) if (cache := _cache(level))})
    return core


def _vector_unit(machine: str, flags: set[str]) -> tuple[int, int, str]:
    """Vector bits, vector registers, and the flag that says so."""
    if machine == "x86_64":
        for flag, bits, registers in (("avx512f", 512, 32), ("avx2", 256, 16)):
            if flag in flags:
                return bits, registers, f"flag {flag}"
        return 128, 16, "sse2, part of x86-64"
    if machine == "aarch64":
        return 128, 32, "asimd, part of aarch64"
    return 32, 32, "no vector unit that edgec uses; 32 floating-point registers"


def _dot_product(flags: set[str]) -> str:
    if flags & {"avx512_vnni", "avx_vnni"}:
        return "vnni"
    return "sdot" if "asimddp" in flags else "none"


def _clock(fields: dict[str, str]) -> dict[str, object]:
    maximum = _CPU / "cpufreq" / "cpuinfo_max_freq"
    if maximum.exists():
        return _quantity(int(maximum.read_text(encoding="ascii")) / 1000, str(maximum))
    if "cpu MHz" in fields:
        return _quantity(float(fields["cpu MHz"]), f"{_CPUINFO}: cpu MHz at this moment")
    return _quantity(2000, "neither cpufreq nor cpuinfo states a clock", measured=False)


def _cache(level: int) -> dict[str, object] | None:
    """Size of the data or unified cache of a level as the first processor sees it; None if sysfs shows none."""
    for folder in sorted((_CPU / "cache").glob("index*")):
        kind = (folder / "type").read_text(encoding="ascii").strip()
        if int((folder / "level").read_text(encoding="ascii")) == level and kind in ("Data", "Unified"):
            size = (folder / "size").read_text(encoding="ascii").strip()
            kibibytes = float(size[:-1]) * {"K": 1, "M": 1024}[size[-1]]
            return _quantity(kibibytes, str(folder / "size"))
    return None


def _memory() -> dict[str, object]:
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
    return {
        "size_mib": _quantity(int(fields["MemTotal"].split()[0]) // 1024, f"{_MEMINFO}: MemTotal"),
        "bandwidth_gbps": _quantity(10, "a modest desktop memory; not measured at load time", measured=False),
    }
