"""Output folders that are whole or absent.

An artefact is built in a hidden folder beside its place, `.NAME.edgec-XXXXXXXX`, written through to the disk, and
then put in place by one rename:

1. No folder, or an empty one: `rename` puts the new one there.
2. An artefact: `renameat2(RENAME_EXCHANGE)` swaps the two in one step, and the old one is deleted under its
   hidden name. Where the file system cannot swap, the old one is renamed away first; a kill between the two
   renames leaves no folder, and never a mixed one.
3. Anything else is refused.

A lock, `.NAME.edgec-lock`, is held from the first to the last step, so hidden folders found while holding it
belong to builds that were killed, and are removed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgec.core.codes.artifact import CANNOT_WRITE, FOLDER_BUSY, NOT_OURS_TO_REPLACE
from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.manifest import FILE_NAME, foreign_files

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_LISTED = 10
_FULL_BELOW_BYTES = 2**20
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A new folder to build in, which takes the place of `folder` when the block ends without an exception.

    The block must leave a `manifest.json` (`edgec.core.manifest.write_manifest`). After an exception everything
    is as it was before.

    Raises:
        EdgecError: EC0601 if `folder` holds files that are not an artefact's, EC0602 if another build holds the
            lock, EC0603 if the disk is full, read-only or forbidden.
    """
    place = Path(os.path.realpath(folder))
    with _explained(place):
        _refuse_foreign(place)
        with _parents(place.parent), _locked(place):
            _remove_leftovers(place)
            staging = place.parent / f".{place.name}.edgec-{secrets.token_hex(4)}"
            staging.mkdir()
            try:
                with _full_disk_explained(staging):
                    yield staging
                _write_through(staging)
                _refuse_foreign(place)
                _publish(staging, place)
            finally:
                shutil.rmtree(staging, ignore_errors=True)


def _refuse_foreign(place: Path) -> None:
    """Refuse a place that holds anything but one artefact."""
    if not place.exists():
        return
    if not place.is_dir():
        raise _not_ours(place, "the output is a file, not a folder")
    if not place.name:
        raise _not_ours(place, "the output is the root of the file system")
    try:
        names = _names(place)
        if not names:
            return
        foreign = foreign_files(place)
    except EdgecError as problem:
        raise _not_ours(place, "the folder is not empty and is no artefact", names) from problem
    if foreign:
        raise _not_ours(place, "the artefact's folder holds other files too", foreign)


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(entry.name for entry in folder.iterdir()))


def _not_ours(place: Path, what: str, names: tuple[str, ...] = ()) -> EdgecError:
    more = (f"and {len(names) - _LISTED} more",) if len(names) > _LISTED else ()
    details = names[:_LISTED] + more
    return EdgecError(NOT_OURS_TO_REPLACE, what, where=str(place), hint=NOT_OURS_TO_REPLACE.remedy, details=details)


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    """Turn errors of the disk into EC0603; errors about other files pass through."""
    try:
        yield
    except OSError as problem:
        ours = problem.filename is not None and str(problem.filename).startswith(str(place.parent))
        if not ours and problem.errno not in _DISK_ERRORS:
            raise
        raise EdgecError(CANNOT_WRITE, _reason(problem), where=str(place), hint=CANNOT_WRITE.remedy) from problem


@contextmanager
def _full_disk_explained(staging: Path) -> Iterator[None]:
    """Name a full disk as the cause of failures inside: tools that meet one end in ways of their own."""
    try:
        yield
    except EdgecError as problem:
        if problem.code.status is not ExitStatus.INTERNAL or _free_bytes(staging) >= _FULL_BELOW_BYTES:
            raise
        raise EdgecError(
            CANNOT_WRITE,
            "there is no space left",
            where=str(staging.parent),
            hint=CANNOT_WRITE.remedy,
            details=(problem.what,),
        ) from problem


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem)).lower()


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the lock of a place; the kernel releases it when the process ends in whatever way."""
    path = place.parent / f".{place.name}.edgec-lock"
    descriptor = _take(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _take(path: Path) -> int:
    """An open descriptor of the locked file at `path`; tried again where its last holder removed it meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise EdgecError(
                FOLDER_BUSY, "another edgec writes this folder now", where=str(path), hint=FOLDER_BUSY.remedy
            ) from None
        os.close(descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _remove_leftovers(place: Path) -> None:
    """Remove what builds that were killed left behind; the lock is held, so nobody works there."""
    prefix = f".{place.name}.edgec-"
    for entry in os.scandir(place.parent):
        suffix = entry.name.removeprefix(prefix)
        if entry.name.startswith(prefix) and len(suffix) == 8 and entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)


def _write_through(staging: Path) -> None:
    """Write every file and folder through to the disk, so that the rename cannot overtake the contents."""
    if not (staging / FILE_NAME).is_file():
        raise RuntimeError("the artefact was published without its manifest")
    for folder, _, names in os.walk(staging):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(staging: Path, place: Path) -> None:
    """Put the staged folder in place; afterwards `staging` holds the old artefact or nothing."""
    if not place.exists() or not _names(place):
        staging.rename(place)
    elif not _exchange(staging, place):
        retired = place.parent / f".{place.name}.edgec-{secrets.token_hex(4)}"
        place.rename(retired)
        staging.rename(place)
        shutil.rmtree(retired, ignore_errors=True)
    _sync(place.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))


@contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """Make a folder and its parents; after an exception those that were made are removed again."""
    missing: list[Path] = []
    outer = folder
    while not outer.exists():
        missing.append(outer)
        outer = outer.parent
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
        yield
    except BaseException:
        _remove_empty(missing)
        raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, innermost first, until one is in use."""
    for folder in folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            return
