"""The project file `edgec.toml`: what a build takes where the command line does not say, and the budgets."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgec.core.codes.usage import BAD_PROJECT_FILE, UNKNOWN_PROJECT_NAME, UNREADABLE_FILE
from edgec.core.errors import EdgecError

FILE_NAME = "edgec.toml"
_LARGEST_FILE_BYTES = 2**20
_MOST_FINDINGS = 20

Extent = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Defaults(_Section):
    """`[build]`: defaults of the options of `edgec build`; None where the file does not say."""

    target: str | None = None
    recipe: str | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    liberty: str | None = None
    weights: Literal["hard-wired", "registers"] | None = None
    triple_registers: bool | None = None


class Limit(_Section):
    """What a metric of the report must keep.

    Attributes:
        max: largest allowed value, in the unit that the metric's name says.
        min: smallest allowed value.
        max_increase: largest allowed growth over the baseline, `"2%"`.
        max_decrease: largest allowed decline below the baseline, for what should be large.
        mode: how the value must have been had.
    """

    max: float | None = Field(default=None, strict=False, allow_inf_nan=False)
    min: float | None = Field(default=None, strict=False, allow_inf_nan=False)
    max_increase: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?%$")
    max_decrease: str | None = Field(default=None, pattern=r"^\d+(\.\d+)?%$")
    mode: Literal["measured", "simulated", "predicted"] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if all(limit is None for limit in (self.max, self.min, self.max_increase, self.max_decrease)):
            raise ValueError("a budget needs max, min, max_increase or max_decrease")
        return self


class Project(_Section):
    """The contents of `edgec.toml`; paths are relative to its folder.

    Attributes:
        models: path of an ONNX file by name.
        data: `--data` of a model by the model's name.
        shapes: extents of inputs by model and input.
        build: defaults of the build.
        budget: limits by target, model and metric.
        device: the board of a target on which `edgec check` measures, `ssh://user@board:port` or
            `rpc://tracker:port/key`.
    """

    models: dict[str, str] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)
    shapes: dict[str, dict[str, tuple[Extent, ...]]] = Field(default_factory=dict)
    build: Defaults = Field(default_factory=Defaults)
    budget: dict[str, dict[str, dict[str, Limit]]] = Field(default_factory=dict)
    device: dict[str, str] = Field(default_factory=dict)


def load_project(path: Path) -> Project:
    """Read and check a project file.

    Raises:
        EdgecError: EC0103 with the line of every key that is not understood; EC0104 for data or shapes of a model
            that the file does not define; EC0105 if it is no readable file.
    """
    if not path.is_file():
        reason = "this is no regular file" if path.exists() else "there is no such file"
        raise EdgecError(UNREADABLE_FILE, reason, where=str(path), hint=UNREADABLE_FILE.remedy)
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE_BYTES + 1)
    if len(content) > _LARGEST_FILE_BYTES:
        raise _bad(path, "the file is larger than 1 MiB")
    try:
        text = content.decode("utf-8")
        values = tomllib.loads(text)
    except UnicodeDecodeError as problem:
        raise _bad(path, f"byte {problem.start} is not UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        raise _syntax_error(path, problem) from None
    except RecursionError:
        raise _bad(path, "the values are nested too deeply") from None
    try:
        project = Project.model_validate(_with_tuples(values))
    except ValidationError as problem:
        raise _schema_error(path, text, problem) from None
    _check_names(path, text, project)
    return project


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """The line, from 1, where a TOML text defines a key path, or the deepest part of it that has a line; else 1."""
    table: tuple[str, ...] = ()
    best_line, best_depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("[") and "=" not in stripped:
            table = _split_key(stripped.strip("[] "))
            defined = table
        elif "=" in stripped and not stripped.startswith("#"):
            defined = table + _split_key(stripped.partition("=")[0])
        else:
            continue
        depth = len(defined)
        if best_depth < depth <= len(keys) and keys[:depth] == defined:
            best_line, best_depth = number, depth
    return best_line


def _split_key(key: str) -> tuple[str, ...]:
    parts: list[tuple[str, str, str]] = re.findall(r'"([^"]*)"|\'([^\']*)\'|([A-Za-z0-9_-]+)', key)
    return tuple(double or single or bare for double, single, bare in parts)


def _with_tuples(value: object) -> object:
    """TOML has arrays only; the strict schema wants tuples."""
    if isinstance(value, dict):
        return {key: _with_tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    return value


def _syntax_error(path: Path, problem: tomllib.TOMLDecodeError) -> EdgecError:
    found = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(problem), re.DOTALL)
    if found is None:
        return _bad(path, str(problem).lower())
    what, line, column = found.groups()
    return _bad(path, what[:1].lower() + what[1:], where=f"{path}:{line}:{column}")


def _schema_error(path: Path, text: str, problem: ValidationError) -> EdgecError:
    findings = []
    for row in problem.errors(include_url=False)[:_MOST_FINDINGS]:
        keys = tuple(str(part) for part in row["loc"])
        what = "unknown key" if row["type"] == "extra_forbidden" else row["msg"].lower()
        findings.append((line_of(text, keys), f"{'.'.join(keys)}: {what}"))
    findings.sort()
    line, first = findings[0]
    rest = tuple(f"line {number}: {what}" for number, what in findings[1:])
    return _bad(path, first, where=f"{path}:{line}", details=rest)


def _check_names(path: Path, text: str, project: Project) -> None:
    for section, names in (("data", project.data), ("shapes", project.shapes)):
        for name in names:
            if name not in project.models:
                raise EdgecError(
                    UNKNOWN_PROJECT_NAME,
                    f"[{section}] names the model {name}, which [models] does not define",
                    where=f"{path}:{line_of(text, (section, name))}",
                    hint=f"defined are: {', '.join(project.models) or 'none'}",
                )


def _bad(path: Path, what: str, *, where: str = "", details: tuple[str, ...] = ()) -> EdgecError:
    return EdgecError(BAD_PROJECT_FILE, what, where=where or str(path), hint=BAD_PROJECT_FILE.remedy, details=details)
