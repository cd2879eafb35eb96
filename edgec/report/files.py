"""Reports on disk: deterministic JSON out, validated JSON in."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue, ValidationError

from edgec.core.codes import report as codes
from edgec.core.errors import EdgecError
from edgec.core.small_file import read_small_file
from edgec.report.schema import SCHEMA, Report

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SCHEMA_FILE = "edgec-report-1.schema.json"
MOST_PLACES = 20
"""A broken file may break the schema in thousands of places; the message lists the first of them."""


def write_json(report: Report) -> bytes:
    """The report as UTF-8 JSON: equal reports give equal bytes.

    Keys follow the schema's order; keys whose order has no meaning are sorted; two spaces of indent; a newline at
    the end. Numbers are written with every digit that is needed to read them back unchanged.
    """
    document = report.model_dump(mode="json", by_alias=True)
    document["build"]["options"] = _sorted(document["build"]["options"])
    document["build"]["tools"] = _sorted(document["build"]["tools"])
    for step in document["passes"]:
        step["options"] = _sorted(step["options"])
        step["stats"] = _sorted(step["stats"])
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def load_report(path: Path) -> Report:
    """Read and validate a report.

    Args:
        path: `report.json`, or the folder of an artefact that holds one.

    Raises:
        EdgecError: EC0801 if the file cannot be read, EC0802 if it is not JSON, EC0803 for another schema,
            EC0804 with the places that break the schema, EC0805 if its numbers contradict each other.
    """
    file = path / "report.json" if path.is_dir() else path
    try:
        content = read_small_file(file)
    except OSError as error:
        raise EdgecError(
            codes.UNREADABLE,
            f"cannot read the report: {error.strerror}",
            where=str(file),
            hint="name a report.json, or the folder that `edgec build` wrote",
        ) from error
    document = _parse(content, file)
    _check_schema(document, file)
    try:
        return Report.model_validate(document)
    except ValidationError as error:
        raise EdgecError(
            codes.CONTRADICTORY,
            "the report contradicts itself",
            where=str(file),
            hint="do not trust this file; build again",
            details=tuple(_describe(path_of(issue["loc"]), issue["msg"]) for issue in error.errors()[:MOST_PLACES]),
        ) from error


def path_of(keys: tuple[str | int, ...]) -> str:
    """A JSON path from the keys on the way to a value: `$.layers[3].macs`."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)


def _parse(content: bytes, file: Path) -> JsonValue:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    try:
        document: JsonValue = json.loads(content.decode("utf-8"), parse_constant=refuse)
        json.dumps(document, ensure_ascii=False).encode()  # an escaped lone surrogate cannot be printed later
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise EdgecError(
            codes.NOT_JSON,
            f"the report is not valid JSON: {reason}",
            where=str(file),
            hint="the file may have been cut off or edited; build again",
        ) from error
    return document


def _check_schema(document: JsonValue, file: Path) -> None:
    stated = document.get("schema") if isinstance(document, dict) else None
    if isinstance(stated, str) and stated != SCHEMA:
        raise EdgecError(
            codes.UNKNOWN_SCHEMA,
            f"the report has schema {stated!r}, this edgec reads {SCHEMA!r}",
            where=f"{file}: $.schema",
            hint="read it with the edgec that wrote it, or build again",
        )
    found = sorted(_validator().iter_errors(document), key=lambda error: path_of(tuple(error.absolute_path)))
    if not found:
        return
    places = tuple(_describe(path_of(tuple(error.absolute_path)), error.message) for error in found)
    more = len(places) - MOST_PLACES
    raise EdgecError(
        codes.SCHEMA_VIOLATED,
        f"the report breaks its schema at {places[0]}",
        where=str(file),
        hint=f"correct the listed places, or build again; the schema is {SCHEMA_FILE}",
        details=(*places[:MOST_PLACES], f"and {more} more") if more > 0 else places,
    )


def _describe(place: str, message: str) -> str:
    text = f"{place}: {message}"
    return text if len(text) <= 300 else text[:299] + "…"


def _sorted(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


@cache
def _validator() -> Validator:
    import jsonschema

    schema = json.loads((resources.files("edgec.report") / SCHEMA_FILE).read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)
