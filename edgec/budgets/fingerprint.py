"""What decides the report of a build, by name: the key of its cache, and the first place to look for a cause."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from edgec.budgets.judging import MACHINE
from edgec.core.recipe import built_in_recipes
from edgec.core.target import Target
from edgec.core.target_files import target_sha256
from edgec.core.version import VERSION, source_sha256, tool_versions
from edgec.graph.load import model_sha256
from edgec.measure.counting_plugin import emulator_version

_NATIVE = "native"


def fingerprint(
    model: Path,
    target: Target,
    *,
    recipe: str,
    data: str | None,
    shapes: Mapping[str, tuple[int, ...]],
    threads: int,
    seed: int,
    device: str | None,
) -> dict[str, str]:
    """Everything that a build's report depends on, by a name that a reader understands.

    Raises:
        EdgecError: EC02xx where the model cannot be read.
    """
    tools = {f"tool {name}": version for name, version in tool_versions().items()}
    parts = {
        "edgec": VERSION,
        "edgec's own code": _own_code(),
        "python": platform.python_version(),
        "model file": model_sha256(model),
        "datasheet": target_sha256(_without_the_moment(target)),
        "recipe": recipe,
        "threads": str(threads),
        "seed": str(seed),
        MACHINE: _machine(target, device),
        **tools,
    }
    if recipe not in built_in_recipes() and Path(recipe).is_file():
        parts["recipe file"] = _digest_of_files([Path(recipe)])
    if shapes:
        parts["shapes"] = json.dumps({name: list(shape) for name, shape in sorted(shapes.items())})
    if data is not None:
        parts["data"] = _digest_of_data(data)
    emulator = target.emulator.executable if target.emulator else f"qemu-{platform.machine()}"
    parts["emulator"] = _emulator(emulator)
    return parts


def has_unknown_data(data: str | None) -> bool:
    """Whether the data come from a function, whose samples only a call can tell: then nothing may be cached."""
    return data is not None and not Path(data.partition("?")[0]).exists()


@cache
def _own_code() -> str:
    return source_sha256()


@cache
def _emulator(executable: str) -> str:
    return emulator_version(executable) if shutil.which(executable) else "not installed"


def _machine(target: Target, device: str | None) -> str:
    """The machine that times are measured on; empty where none are."""
    if device is not None:
        return device
    return f"{target.title}, {target.core.cores.value:g} cores" if target.compiler.triple == _NATIVE else ""


def _without_the_moment(target: Target) -> Target:
    """The datasheet without the clock of this moment, which the operating system states for `host`."""
    if target.compiler.triple != _NATIVE:
        return target
    clock = target.core.clock_mhz.model_copy(update={"value": 1.0})
    return target.model_copy(update={"core": target.core.model_copy(update={"clock_mhz": clock})})


def _digest_of_data(data: str) -> str:
    path, _, options = data.partition("?")
    place = Path(path)
    if not place.exists():
        return data
    files = sorted(each for each in place.rglob("*") if each.is_file()) if place.is_dir() else [place]
    return hashlib.sha256((_digest_of_files(files) + options).encode()).hexdigest()


def _digest_of_files(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.parent.name}/{path.name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
