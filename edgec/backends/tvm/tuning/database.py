"""The file of what measurements have chosen: a JSON record a line, sorted, so that it merges and diffs in git.

A record holds for a contraction on a kind of core with a version of the compiler; one of another core or version is
kept in the file and not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.implementation import Contraction, Implementation, Record
from edgec.backends.tvm.machine_code import llvm_target
from edgec.backends.tvm.tuning.candidates import is_possible
from edgec.core.codes.backend import BAD_TUNING_DATABASE
from edgec.core.errors import EdgecError
from edgec.core.output_file import whole_file
from edgec.core.small_file import read_small_file
from edgec.core.target import Target
from edgec.core.version import VERSION

_LISTED = 10

Cost = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TuningRecord(Record):
    """What was found out about a contraction.

    Attributes:
        format: version of this format.
        context: digest of the core, the threads and the compiler, see `context_of`.
        core: what the context is, for people.
        contraction: what is computed.
        implementation: how it is best computed.
        cost: of one run of its kernel, in `unit`.
        default_cost: the same as the cost model would have it.
        unit: of both costs.
        machine: where they were measured.
        tried: how many ways were measured; more tuning goes on after them.
    """

    format: Literal[1] = 1
    context: str = Field(pattern=r"^[0-9a-f]{64}$")
    core: str = Field(max_length=400)
    contraction: Contraction
    implementation: Implementation
    cost: Cost
    default_cost: Cost
    unit: Literal["nanoseconds", "instructions"]
    machine: str = Field(max_length=400)
    tried: int = Field(ge=0)

    @property
    def key(self) -> tuple[str, str]:
        """What a database holds one record of, and sorts by."""
        return self.context, self.contraction.model_dump_json()

    def line(self) -> str:
        """The record as it stands in the file."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=True)


def context_of(target: Target, threads: int) -> tuple[str, str]:
    """What records must agree on to hold for a build: a digest, and a text for people."""
    import tvm

    core = CoreDescription.of(target)
    compiler = llvm_target(target.compiler)
    versions = f"edgec {VERSION}, TVM {tvm.__version__}, LLVM {tvm.target.codegen.llvm_version_major()}"
    processor = str(compiler.attrs.get("mcpu", "")) or target.compiler.cpu
    described = f"{processor}, {threads} thread{'s' if threads > 1 else ''}, {versions}"
    digest = hashlib.sha256("\0".join((repr(core), str(compiler), str(threads), versions)).encode())
    return digest.hexdigest(), described


Records = Mapping[tuple[str, str], TuningRecord]


def read_records(path: Path) -> dict[tuple[str, str], TuningRecord]:
    """The records of a file by their keys; none if there is no file.

    Raises:
        EdgecError: EC0404 if the file cannot be read, or a line is no record.
    """
    try:
        lines = read_small_file(path).decode("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is no text"
        raise _bad(path, f"the tuning database cannot be read: {reason}".lower()) from problem
    records: list[TuningRecord] = []
    damaged: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            records.append(TuningRecord.model_validate_json(line))
        except ValidationError as problem:
            first = problem.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            damaged.append(f"line {number}: {place}: {first['msg']}")
    if damaged:
        count = len(damaged)
        what = f"{count} line{'s are' if count > 1 else ' is'} no record of a measurement"
        raise _bad(path, what, tuple(damaged[:_LISTED]))
    return merged({}, records)


def merged(known: Records, more: Iterable[TuningRecord]) -> dict[tuple[str, str], TuningRecord]:
    """Both sets of records; of two for the same, the one that tried more ways, or else the one that gained more."""
    result = dict(known)
    for record in more:
        present = result.get(record.key)
        if present is None or _worth(record) > _worth(present):
            result[record.key] = record
    return result


def _worth(record: TuningRecord) -> tuple[int, float, str]:
    return record.tried, record.default_cost / record.cost, record.line()


def write_records(path: Path, records: Records) -> None:
    """Write a file of records; what another process has added to it meanwhile is kept.

    Raises:
        EdgecError: EC0404 if what is there is no database; EC0106 if the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    both = merged(read_records(path), records.values())
    with whole_file(path) as file:
        file.write("".join(f"{both[key].line()}\n" for key in sorted(both)).encode())


def records_for(records: Records, context: str, core: CoreDescription, path: Path) -> dict[Contraction, TuningRecord]:
    """The records that hold for a core, by contraction.

    Raises:
        EdgecError: EC0404 if one of them asks for what the core cannot do.
    """
    found = {record.contraction: record for record in records.values() if record.context == context}
    for contraction, record in found.items():
        if not is_possible(contraction, record.implementation, core):
            what = f"a record asks for {record.implementation.model_dump_json()}, which the core cannot do"
            raise _bad(path, what, (contraction.model_dump_json(),))
    return found


def _bad(path: Path, what: str, details: tuple[str, ...] = ()) -> EdgecError:
    hint = BAD_TUNING_DATABASE.remedy
    return EdgecError(BAD_TUNING_DATABASE, what, where=str(path), hint=hint, details=details)
