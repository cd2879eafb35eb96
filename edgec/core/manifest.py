"""`manifest.json`: what an artefact is made of and made from, and the check that it still is.

Nothing in it depends on when or where the build ran, so equal builds have equal manifests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgec.core.codes.artifact import CANNOT_WRITE, CHANGED_FILES, DAMAGED_MANIFEST, NOT_AN_ARTIFACT
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface

FILE_NAME = "manifest.json"
REPORT_FILES = frozenset({"report.json", "report.html"})
"""Written after the manifest and not recorded in it: they hold measurements, which differ from build to build."""
_UNRECORDED = REPORT_FILES | {FILE_NAME}
_LARGEST_MANIFEST_BYTES = 16 * 2**20
_MOST_FILES = 50_000
_LISTED = 20
_CHUNK = 2**20


def _safe_path(path: str) -> str:
    parts = PurePosixPath(path).parts
    plain = path.isprintable() and "\\" not in path and str(PurePosixPath(path)) == path
    if not parts or not plain or path.startswith("/") or ".." in parts or path in (".", *_UNRECORDED):
        raise ValueError(f"{path!r} is not a plain path inside the artefact")
    return path


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SafePath = Annotated[str, Field(max_length=1024), AfterValidator(_safe_path)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class FileRecord(_Record):
    """One file of the artefact: its path relative to the folder with `/`, its digest and its size in bytes."""

    path: SafePath
    sha256: Sha256
    size_bytes: int = Field(ge=0)


class Provenance(_Record):
    """What the artefact was made from.

    Attributes:
        model_name: file name of the model without its suffix.
        model_sha256: of the model's file.
        target_name: name of the target.
        target_sha256: of its datasheet.
        recipe: name of the recipe.
        options_sha256: of every option that changes the result, see `digest_of`.
        data_sha256: content hash of the data source; None without data.
        plan_sha256: digest of the build plan.
        tuning_sha256: of the records of measurements that decided how kernels are computed; None without any.
        seed: seed of every random choice.
        tools: versions of the programs and libraries that took part, by name.
    """

    model_name: str
    model_sha256: Sha256
    target_name: str
    target_sha256: Sha256
    recipe: str
    options_sha256: Sha256
    data_sha256: Sha256 | None = None
    plan_sha256: Sha256
    tuning_sha256: Sha256 | None = None
    seed: int
    tools: dict[str, str] = Field(default_factory=dict)


class Manifest(_Record):
    """The contents of `manifest.json`.

    Attributes:
        schema_name: version of this format; `schema` in the file.
        edgec: version of edgec that built the artefact.
        provenance: what it was made from.
        interface: how to call it.
        files: every file except the manifest itself and the reports, sorted by path.
        self_sha256: over the other fields, see `digest_of`; it finds damage, not forgery.
    """

    schema_name: Literal["edgec-manifest/1"] = Field(default="edgec-manifest/1", alias="schema")
    edgec: str
    provenance: Provenance
    interface: Interface
    files: tuple[FileRecord, ...] = Field(max_length=_MOST_FILES)
    self_sha256: str = ""

    @model_validator(mode="after")
    def _runs_its_own_program(self) -> Self:
        """`verify` and `run` start what the manifest names: only a file of the artefact, or an emulator on PATH."""
        runner, emulator = self.interface.runner, self.interface.emulator
        if runner is not None and runner not in {file.path for file in self.files}:
            raise ValueError(f"the runner {runner!r} is no file of the artefact")
        if emulator and not re.fullmatch(r"qemu-[a-z0-9_-]+", emulator[0]):
            raise ValueError(f"the emulator {emulator[0]!r} is not one that edgec starts")
        return self


def digest_of(values: BaseModel) -> str:
    """SHA-256 over the JSON of a record of options, with sorted keys."""
    text = json.dumps(values.model_dump(mode="json", by_alias=True), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(folder: Path, *, edgec: str, provenance: Provenance, interface: Interface) -> Manifest:
    """Record every file of a finished artefact in its manifest; only reports may be added afterwards.

    Raises:
        EdgecError: EC0603 if the folder holds something else than files and folders, or cannot be written.
    """
    found, oddities = _files_in(folder)
    if oddities:
        raise EdgecError(
            CANNOT_WRITE,
            "an artefact holds files and folders only",
            where=str(folder),
            hint="remove the links and special files",
            details=tuple(oddities),
        )
    manifest = Manifest(
        edgec=edgec,
        provenance=provenance.model_copy(update={"tools": dict(sorted(provenance.tools.items()))}),
        interface=interface,
        files=tuple(_record(folder, path) for path in found if path not in _UNRECORDED),
    )
    manifest = manifest.model_copy(update={"self_sha256": _self_digest(manifest)})
    text = json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"
    try:
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise EdgecError(CANNOT_WRITE, str(problem.strerror), where=str(folder), hint=CANNOT_WRITE.remedy) from problem
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artefact; its files are not looked at.

    Raises:
        EdgecError: EC0604 if there is none, EC0605 if it is damaged or of an unknown version.
    """
    path = folder / FILE_NAME
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _damaged(path, "it is no regular file")
        if path.stat().st_size > _LARGEST_MANIFEST_BYTES:
            raise _damaged(path, f"it is larger than {_LARGEST_MANIFEST_BYTES // 2**20} MiB")
        content = path.read_bytes()
    except OSError as problem:
        reason = "there is no manifest.json" if isinstance(problem, FileNotFoundError) else str(problem.strerror)
        raise EdgecError(NOT_AN_ARTIFACT, reason.lower(), where=str(folder), hint=NOT_AN_ARTIFACT.remedy) from problem
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as problem:
        raise _damaged(path, "it does not follow its schema", _places(problem)) from None
    # A field that is missing or of another type may read as its default: then it is not what was written.
    if json.loads(content) != manifest.model_dump(mode="json", by_alias=True) or (
        manifest.self_sha256 != _self_digest(manifest)
    ):
        raise _damaged(path, "it was changed after the build")
    return manifest


def check_integrity(folder: Path) -> Manifest:
    """The manifest of an artefact, after every file was found to be as it was built.

    Raises:
        EdgecError: as `read_manifest`, and EC0606 naming each missing, changed, extra or odd file.
    """
    manifest = read_manifest(folder)
    found, oddities = _files_in(folder)
    recorded = {file.path: file for file in manifest.files}
    if len(recorded) != len(manifest.files):
        raise _damaged(folder / FILE_NAME, "it names a file twice")
    present = set(found) - _UNRECORDED
    findings = list(oddities)
    findings += [f"{path}: missing" for path in sorted(recorded.keys() - present)]
    findings += [f"{path}: not part of the artefact" for path in sorted(present - recorded.keys())]
    findings += [
        f"{path}: {change}" for path in sorted(present & recorded.keys()) if (change := _change(folder, recorded[path]))
    ]
    if findings:
        more = (f"and {len(findings) - _LISTED} more",) if len(findings) > _LISTED else ()
        raise EdgecError(
            CHANGED_FILES,
            f"{len(findings)} file{'s are' if len(findings) > 1 else ' is'} not as built",
            where=str(folder),
            hint=CHANGED_FILES.remedy,
            details=tuple(findings[:_LISTED]) + more,
        )
    return manifest


def foreign_files(folder: Path) -> tuple[str, ...]:
    """Paths in an artefact's folder that its manifest does not name; changed files are its own.

    Raises:
        EdgecError: as `read_manifest`.
    """
    recorded = {file.path for file in read_manifest(folder).files} | _UNRECORDED
    found, oddities = _files_in(folder)
    return tuple(sorted(set(found) - recorded)) + tuple(oddities)


def _self_digest(manifest: Manifest) -> str:
    return digest_of(manifest.model_copy(update={"self_sha256": ""}))


def _change(folder: Path, recorded: FileRecord) -> str:
    path = folder / recorded.path
    try:
        size = path.lstat().st_size
        if size != recorded.size_bytes:
            return f"has {size} bytes instead of {recorded.size_bytes}"
        return "" if _sha256(path) == recorded.sha256 else "has other contents"
    except OSError as problem:
        return f"cannot be read ({problem.strerror})"


def _record(folder: Path, path: str) -> FileRecord:
    return FileRecord(path=path, sha256=_sha256(folder / path), size_bytes=(folder / path).stat().st_size)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _files_in(folder: Path) -> tuple[list[str], list[str]]:
    """Relative paths of the regular files, sorted, and complaints about links and special files."""
    files: list[str] = []
    oddities: list[str] = []
    for entry in _walk(folder):
        path = Path(entry.path).relative_to(folder).as_posix()
        if entry.is_symlink():
            oddities.append(f"{path}: is a symbolic link")
        elif entry.is_file():
            files.append(path)
        else:
            oddities.append(f"{path}: is neither a file nor a folder")
    return sorted(files), sorted(oddities)


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield entry


def _places(problem: ValidationError) -> tuple[str, ...]:
    rows = problem.errors(include_url=False, include_input=False)
    return tuple(f"{'.'.join(map(str, row['loc'])) or 'the file'}: {row['msg']}" for row in rows[:_LISTED])


def _damaged(path: Path, why: str, details: tuple[str, ...] = ()) -> EdgecError:
    return EdgecError(DAMAGED_MANIFEST, why, where=str(path), hint=DAMAGED_MANIFEST.remedy, details=details)
