"""Finding and loading datasheets: the built-in ones by name, a user's own by path.

Listing needs `tomllib` alone, so that `edgec targets list` answers at once; the schema is imported when a datasheet is
loaded.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgec.targets
from edgec.core.codes.target import INVALID_DATASHEET, UNKNOWN_TARGET, UNREADABLE_DATASHEET
from edgec.core.errors import EdgecError
from edgec.core.small_file import read_small_file

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from edgec.core.target import Target


@dataclass(frozen=True)
class TargetSummary:
    """One row of the list of targets."""

    name: str
    title: str
    backend: str


def target_names() -> tuple[str, ...]:
    """Names of the built-in datasheets, in order."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def target_summaries() -> tuple[TargetSummary, ...]:
    """The built-in datasheets by name, title and backend, without checking the rest."""
    rows = []
    for name in target_names():
        content = _parse(target_path(name), target_path(name).read_text(encoding="utf-8"))
        rows.append(TargetSummary(name, str(content.get("title", "")), str(content.get("backend", ""))))
    return tuple(rows)


def target_path(name_or_path: str) -> Path:
    """The file of a built-in target, or of a user's own datasheet.

    Raises:
        EdgecError: EC0501 if there is neither.
    """
    names = target_names()
    if name_or_path in names:
        return _folder() / f"{name_or_path}.toml"
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        return Path(name_or_path)
    near = difflib.get_close_matches(name_or_path.lower().replace("_", "-"), names, n=1, cutoff=0.5)
    raise EdgecError(
        UNKNOWN_TARGET,
        f"there is no target {name_or_path!r}",
        hint=f"did you mean {near[0]!r}?" if near else "for your own datasheet give a path that ends in .toml",
        details=tuple(f"available: {name}" for name in names),
    )


def load_target(name_or_path: str) -> Target:
    """Load and check a datasheet; what the datasheet of `host` leaves out is read from this machine.

    Raises:
        EdgecError: EC0501 unknown name, EC0502 unreadable file, EC0503 broken schema (every fault in `details`),
            EC0504 a machine that cannot be described.
    """
    path = target_path(name_or_path)
    try:
        text = read_small_file(path).decode()
    except (OSError, UnicodeDecodeError) as fault:
        raise EdgecError(
            UNREADABLE_DATASHEET, f"{path}: {fault}", where=str(path), hint="give the path of a readable TOML file"
        ) from fault
    content = _parse(path, text)
    compiler = content.get("compiler")
    if isinstance(compiler, dict) and compiler.get("triple") == "native":
        from edgec.core.host_machine import with_this_machine

        content = with_this_machine(content)
    return _validate(path, text, content)


def target_sha256(target: Target) -> str:
    """SHA-256 over the loaded datasheet: equal numbers, equal digest, whatever the file's layout."""
    return hashlib.sha256(target.model_dump_json().encode()).hexdigest()


def _folder() -> Path:
    return Path(next(iter(edgec.targets.__path__)))


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        line = re.search(r"at line (\d+)", str(fault))
        raise EdgecError(
            UNREADABLE_DATASHEET,
            f"{path} is not TOML: {fault}",
            where=f"{path}:{line.group(1)}" if line else str(path),
            hint="mend the syntax at the place shown",
        ) from fault


def _validate(path: Path, text: str, content: dict[str, Any]) -> Target:
    from pydantic import ValidationError

    from edgec.core.target import Target

    try:
        return Target.model_validate(content)
    except ValidationError as fault:
        errors = fault.errors(include_url=False)
        faults = tuple(f"{path}:{_line(text, _keys(error))}: {_fault(error)}" for error in errors)
        raise EdgecError(
            INVALID_DATASHEET,
            _fault(errors[0]) + (f", and {len(errors) - 1} more" if len(errors) > 1 else ""),
            where=f"{path}:{_line(text, _keys(errors[0]))}",
            hint=_hint(errors[0]),
            details=faults,
        ) from fault


def _keys(error: ErrorDetails) -> tuple[str, ...]:
    return tuple(str(part) for part in error["loc"])


def _fault(error: ErrorDetails) -> str:
    key = ".".join(_keys(error)) or "the datasheet"
    match error["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a key of a datasheet"
        case _:
            return f"{key}: {error['msg']}; got {error['input']!r}"


def _hint(error: ErrorDetails) -> str:
    keys = _keys(error)
    allowed = _allowed_keys(keys[:-1])
    if error["type"] == "extra_forbidden" and allowed:
        near = difflib.get_close_matches(keys[-1], allowed, n=1)
        return f"did you mean {near[0]!r}?" if near else f"allowed here: {', '.join(allowed)}"
    if error["type"] == "missing":
        return 'add it, with its value, basis and source; mark what nobody measured with basis = "assumed"'
    if "expected" in error.get("ctx", {}):
        return f"allowed: {error['ctx']['expected']}"
    return "correct the value"


def _allowed_keys(section: tuple[str, ...]) -> tuple[str, ...]:
    """Keys of a section of the schema, by walking its JSON Schema."""
    from edgec.core.target import Target

    schema = Target.model_json_schema()
    node: dict[str, Any] = schema
    for key in section:
        node = node.get("properties", {}).get(key, {})
        choices = [node, *node.get("anyOf", [])]
        reference = next((choice["$ref"] for choice in choices if "$ref" in choice), "")
        node = schema["$defs"].get(reference.rpartition("/")[2], {})
    return tuple(node.get("properties", {}))


def _line(text: str, keys: tuple[str, ...]) -> int:
    """Line of the key in the text of a datasheet, or of the nearest section around it; 1 if there is neither."""
    best, depth = 1, 0
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        entry = re.match(r"\s*([\w.\-\"]+)\s*=", line)
        if header:
            section = tuple(part.strip(' "') for part in header.group(1).split("."))
            here = section
        elif entry:
            here = (*section, *(part.strip('"') for part in entry.group(1).split(".")))
        else:
            continue
        if keys[: len(here)] == here and len(here) > depth:
            best, depth = number, len(here)
    return best
