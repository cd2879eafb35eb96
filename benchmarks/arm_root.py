"""A folder with an aarch64 Python and ONNX Runtime's own aarch64 wheel, to run in an emulator on another machine.

The packages are the distribution's (apt with lists and caches of its own, so that the machine's apt and dpkg are left
alone; no root is needed), the wheels come through pip, at the versions that are installed here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

EMULATOR = "qemu-aarch64"
_TOOLS = {EMULATOR: "apt install qemu-user", "apt-get": "a Debian or a derivative", "dpkg": "a Debian or a derivative"}
_LIBRARIES = ("libc6", "libstdc++6", "libgcc-s1", "libexpat1", "zlib1g", "libffi8")
_WHEELS = ("onnxruntime", "numpy")
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_CORE = "processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
_CORE += "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n"
_PARTS = {"cortex-a53": "0xd03", "cortex-a57": "0xd07", "cortex-a72": "0xd08"}


class MissingError(Exception):
    """What this machine lacks for the comparison."""


def command(root: Path, core: str, plugin_options: str) -> list[str]:
    """The emulator's command with the aarch64 Python of `root`, to which the Python's arguments are to be appended."""
    python = next((root / "system/usr/bin").glob("python3.*"))
    emulator = [str(shutil.which(EMULATOR)), "-plugin", plugin_options, "-cpu", core, "-L", str(root / "system")]
    return [*emulator, str(python), "-S", "-s", "-B"]


def site(root: Path) -> Path:
    """The folder to append to the emulated Python's `sys.path`."""
    return root / "site"


def prepare(root: Path) -> None:
    """Fill `root`, unless that was done before.

    Raises:
        MissingError: a tool is not installed, or a package cannot be had.
    """
    lacking = [f"{tool} ({source})" for tool, source in _TOOLS.items() if shutil.which(tool) is None]
    if lacking:
        raise MissingError(f"not installed: {', '.join(lacking)}")
    if (root / "complete").is_file():
        return
    root.mkdir(parents=True, exist_ok=True)
    version = _install_packages(root)
    _install_wheels(root, version)
    (root / "complete").touch()


def describe_core(root: Path, core: str) -> None:
    """Let the emulated program find the core that is emulated in /proc/cpuinfo.

    The emulator hands out this machine's file, and ONNX Runtime cannot read one without Arm's lines.
    """
    place = root / "system/proc"
    place.mkdir(parents=True, exist_ok=True)
    lines = [_CORE.format(number=number, part=_PARTS[core]) for number in range(2)]
    (place / "cpuinfo").write_text("".join(lines), encoding="ascii")


def _install_packages(root: Path) -> str:
    for folder in ("lists/partial", "cache/archives/partial", "system"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Dir::State::Lists": str(root / "lists"),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": str(root / "cache"),
    }
    options = [f"-o{name}={value}" for name, value in settings.items()]
    _run(["apt-get", *options, "update"])
    listed = _run(["apt-cache", *options, "depends", "python3-minimal"])
    found = re.search(r"python(3\.\d+)-minimal", listed)
    if found is None:
        raise MissingError("the distribution has no python3-minimal for arm64")
    version = found.group(1)
    pythons = (f"python{version}-minimal", f"libpython{version}-minimal", f"libpython{version}-stdlib")
    with tempfile.TemporaryDirectory(prefix="arm-packages-", dir=root) as name:
        _run(["apt-get", *options, "download", *pythons, *_LIBRARIES], Path(name))
        for package in Path(name).glob("*.deb"):
            _run(["dpkg", "-x", str(package), str(root / "system")])
    return version


def _install_wheels(root: Path, version: str) -> None:
    wanted = [f"{name}=={metadata.version(name)}" for name in _WHEELS]
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    with tempfile.TemporaryDirectory(prefix="arm-wheels-", dir=root) as name:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        _run([*download, f"--python-version={version}", *platforms, "--dest", name, *wanted])
        for wheel in Path(name).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site(root))


def _run(arguments: list[str], folder: Path | None = None) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise MissingError(f"`{' '.join(arguments[:4])} …` failed: {' '.join(last)}")
    return done.stdout
