"""Recipes: lists of passes with options, in TOML; and the discovery of the passes that they name."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, resources
from pathlib import Path

from pydantic import ValidationError

from edgec.core.codes.passes import PASS_BROKEN, PASS_NOT_FOUND, RECIPE_INVALID, RECIPE_NOT_FOUND
from edgec.core.errors import EdgecError
from edgec.core.passes import Pass, PassOptions
from edgec.core.small_file import read_small_file

ENTRY_POINTS = "edgec.passes"
"""Entry-point group of passes: `fold-batch-norm = "package.module:FoldBatchNorm"`."""

_RECIPE_PACKAGE = "edgec.passes.recipes"
_PASS_TABLE = re.compile(r"^\s*\[\[\s*(?:pass|\"pass\"|'pass')\s*\]\]")


@dataclass(frozen=True)
class Recipe:
    """A list of passes.

    Attributes:
        name: name of the built-in recipe, or stem of the file.
        source: where it was read from.
        passes: ready to run, with their options.
    """

    name: str
    source: str
    passes: tuple[Pass, ...]


def load_recipe(name_or_path: str) -> Recipe:
    """Read a built-in recipe by its name, or a file.

    What ends in `.toml` or has a folder in it is a path; everything else is a name.

    Raises:
        EdgecError: EC0301 where there is none, EC0302 where it is not valid, with file and line; EC0303 and EC0304 for
            the passes that it names.
    """
    is_path = name_or_path.endswith(".toml") or "/" in name_or_path or "\\" in name_or_path
    source = name_or_path if is_path else f"built-in recipe {name_or_path}"
    text = _read_file(Path(name_or_path)) if is_path else _read_built_in(name_or_path)
    name = Path(name_or_path).stem if is_path else name_or_path
    return Recipe(name, source, _parse(text, source))


def built_in_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with edgec."""
    entries = resources.files(_RECIPE_PACKAGE).iterdir()
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml")))


def make_pass(name: str, options: Mapping[str, object] | None = None, *, where: str = "") -> Pass:
    """A pass by its name with its options validated.

    Args:
        name: as it is declared in an installed package.
        options: values by option; those left out keep their defaults.
        where: what an error names as the place; the pass if empty.

    Raises:
        EdgecError: EC0302 for options that the pass does not take, EC0303, EC0304.
    """
    kind = find_pass(name, where=where)
    return kind(_validated(kind, options or {}, where or f"pass {name}"))


def pass_names() -> tuple[str, ...]:
    """Names of all installed passes."""
    return tuple(sorted(_entry_points()))


def find_pass(name: str, *, where: str = "") -> type[Pass]:
    """The class of a pass.

    Raises:
        EdgecError: EC0303 where no installed package declares it, EC0304 where the one that does is broken.
    """
    declared = _entry_points().get(name)
    if declared is None:
        hint = _closest(name, tuple(_entry_points())) or "see `edgec passes list`"
        raise EdgecError(PASS_NOT_FOUND, f"there is no pass `{name}`", where=where, hint=hint)
    package = declared.dist.name if declared.dist is not None else declared.module
    hint = f"upgrade or uninstall the package `{package}`"
    try:
        found = declared.load()
    # Importing runs code of anybody's: whatever it raises is the fault of that package, and is named so.
    except Exception as error:
        what = f"the pass `{name}` of the package `{package}` cannot be imported: {type(error).__name__}: {error}"
        raise EdgecError(PASS_BROKEN, what, where=declared.value, hint=hint) from error
    if not (isinstance(found, type) and issubclass(found, Pass)) or getattr(found, "name", None) != name:
        what = f"`{declared.value}` of the package `{package}` is not the pass `{name}`"
        raise EdgecError(PASS_BROKEN, what, where=declared.value, hint=hint)
    return found


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for declared in metadata.entry_points(group=ENTRY_POINTS):
        other = found.setdefault(declared.name, declared)
        if other.value != declared.value:
            what = f"two packages declare the pass `{declared.name}`: {other.value} and {declared.value}"
            raise EdgecError(PASS_BROKEN, what, where=declared.value, hint="uninstall one of them")
    return found


def _read_built_in(name: str) -> str:
    names = built_in_recipes()
    if name not in names:
        hint = _closest(name, names) or f"the built-in recipes are: {', '.join(names)}; a file ends in .toml"
        raise EdgecError(RECIPE_NOT_FOUND, f"there is no recipe `{name}`", hint=hint)
    return (resources.files(_RECIPE_PACKAGE) / f"{name}.toml").read_text(encoding="utf-8")


def _read_file(path: Path) -> str:
    try:
        return read_small_file(path).decode()
    except OSError as error:
        what = f"the recipe {path} cannot be read: {error.strerror}"
        raise EdgecError(RECIPE_NOT_FOUND, what, where=str(path), hint="check the path") from error
    except ValueError as error:
        what = f"the recipe {path} is not text in UTF-8"
        raise EdgecError(RECIPE_INVALID, what, where=str(path), hint="save it as UTF-8") from error


def _parse(text: str, source: str) -> tuple[Pass, ...]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{source}:{line.group(1)}" if line else source
        raise EdgecError(RECIPE_INVALID, f"not TOML: {error}", where=where, hint="correct the syntax") from error
    tables = content.get("pass")
    unknown = sorted(content.keys() - {"pass", "description"})
    if unknown:
        where = f"{source}:{_line_of_key(text, unknown[0])}"
        hint = "a recipe has [[pass]] tables and may have a description"
        raise EdgecError(RECIPE_INVALID, f"`{unknown[0]}` means nothing in a recipe", where=where, hint=hint)
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        hint = 'write `[[pass]]` and `name = "…"` for each pass'
        raise EdgecError(RECIPE_INVALID, "the recipe has no [[pass]] tables", where=source, hint=hint)
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if _PASS_TABLE.match(line)]
    # Tables written inline (`pass = [{…}]`) have no line of their own.
    places = lines if len(lines) == len(tables) else [1] * len(tables)
    return tuple(_pass_of(table, text, source, line) for table, line in zip(tables, places, strict=True))


def _pass_of(table: Mapping[str, object], text: str, source: str, line: int) -> Pass:
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        hint = 'add `name = "…"`; see `edgec passes list`'
        raise EdgecError(RECIPE_INVALID, "a [[pass]] has no name", where=f"{source}:{line}", hint=hint)
    kind = find_pass(name, where=f"{source}:{_line_of_key(text, 'name', line)}")
    wrong = next(iter(_problems(kind, options)), None)
    where = f"{source}:{_line_of_key(text, wrong[0], line) if wrong else line}"
    return make_pass(name, options, where=where)


def _validated(kind: type[Pass], options: Mapping[str, object], where: str) -> PassOptions:
    problems = _problems(kind, options)
    if problems:
        option, reason = problems[0]
        known = tuple(kind.Options.model_fields)
        fallback = f"`{kind.name}` takes: {', '.join(known)}" if known else f"`{kind.name}` takes no options"
        hint = (_closest(option, known) if option not in known else "") or fallback
        details = tuple(f"{name}: {text}" for name, text in problems)
        what = f"option `{option}` of `{kind.name}`: {reason}"
        raise EdgecError(RECIPE_INVALID, what, where=where, hint=hint, details=details)
    return kind.Options.model_validate(dict(options), strict=False)


def _problems(kind: type[Pass], options: Mapping[str, object]) -> list[tuple[str, str]]:
    """Every option that the pass does not take, with the reason."""
    try:
        kind.Options.model_validate(dict(options))
    except ValidationError as error:
        return [(".".join(map(str, entry["loc"])) or "options", entry["msg"]) for entry in error.errors()]
    return []


def _line_of_key(text: str, key: str, start: int = 1) -> int:
    """The first line from `start` on that sets a key; `start` if none does."""
    pattern = re.compile(rf"^\s*[\"']?{re.escape(key.split('.')[0])}[\"']?\s*[=.]|^\s*\[+\s*{re.escape(key)}\s*\]+")
    lines: Sequence[str] = text.splitlines()
    return next((n for n, line in enumerate(lines[start - 1 :], start=start) if pattern.match(line)), start)


def _closest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(f'`{candidate}`' for candidate in near)}?" if near else ""
