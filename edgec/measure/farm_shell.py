"""A board's shell through TVM's RPC server, for boards of a farm.

The server takes files and calls functions of libraries that are uploaded to it. One such library,
`hw/board/farm_shell.c`, runs a command; so all that is done over ssh is done there, and the artefact needs no TVM.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from edgec.core.codes.board import BOARD_UNREACHABLE
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.measure.board_farm import BoardFarm, Loan
from edgec.measure.board_shell import COMMAND_SECONDS, bad_status, board_failed
from edgec.measure.compiled_source import shared_library

_CONNECT_SECONDS = 30.0
_SESSION_SECONDS = 7200
"""The server ends a session that takes longer, should edgec be gone without a word."""
_LIBRARY = "edgec_shell.so"
_Result = TypeVar("_Result")


class _Session(Protocol):
    """The part of `tvm.rpc.RPCSession` that is used."""

    def upload(self, data: bytearray, target: str) -> None: ...
    def download(self, path: str) -> bytearray: ...
    def load_module(self, path: str) -> dict[str, Callable[[str], int]]: ...
    def get_function(self, name: str) -> Callable[[str], str]: ...


@dataclass
class FarmShell:
    """A lent board; made by `farm_shell`.

    Attributes:
        address: of the farm.
    """

    address: str
    _session: _Session
    _execute: Callable[[str], int]
    _path_of: Callable[[str], str]
    _stuck: bool = field(default=False)

    def run(self, command: str, content: bytes = b"", *, seconds: float = COMMAND_SECONDS) -> bytes:
        """See `BoardShell`."""
        if self._stuck:
            raise board_failed(self.address, "the board still runs a command that took too long")
        try:
            return _within(seconds, lambda: self._run(command, content))
        except TimeoutError as fault:
            self._stuck = True
            raise board_failed(self.address, f"a command did not end within {seconds:g} s") from fault
        except RuntimeError as fault:
            self._stuck = True
            raise board_failed(self.address, "the connection to the board was lost", str(fault)) from fault

    def close(self) -> None:
        """Give the board back."""
        del self._session, self._execute, self._path_of

    def _run(self, command: str, content: bytes) -> bytes:
        # A command that is left behind keeps the session until it ends, though the loan was given back meanwhile.
        session, execute, path_of = self._session, self._execute, self._path_of
        session.upload(bytearray(command.encode()), "command")
        session.upload(bytearray(content), "given")
        files = [path_of(name) for name in ("command", "given", "printed", "said")]
        status = int(execute("sh '{}' < '{}' > '{}' 2> '{}'".format(*files)))
        if status != 0:
            raise bad_status(self.address, status, session.download("said").decode(errors="replace"))
        return bytes(session.download("printed"))


@contextmanager
def farm_shell(farm: BoardFarm, triple: str) -> Iterator[FarmShell]:
    """A board of a farm for as long as the block lasts; then the server removes its files.

    Args:
        farm: where boards are lent.
        triple: what programs of the board are linked for.

    Raises:
        EdgecError: EC0656 where no board can be had, EC0657 if it is another processor, EC0901 without TVM or zig.
    """
    library = _library(triple)
    loan = farm.lend()
    session = _connected(farm, loan)
    try:
        session.upload(bytearray(library), _LIBRARY)
        execute = session.load_module(_LIBRARY)["edgec_shell"]
        path_of = session.get_function("tvm.rpc.server.workpath")
    except RuntimeError as fault:
        what = f"the board does not load a library for {triple}: is it another processor than the target's?"
        traceback.clear_frames(fault.__traceback__)
        del session
        raise board_failed(farm.address, what, str(fault)) from fault
    shell = FarmShell(farm.address, session, execute, path_of)
    # The loan ends with the last reference to the session, and an error on its way up holds every local.
    del session, execute, path_of
    try:
        yield shell
    finally:
        shell.close()


def _library(triple: str) -> bytes:
    try:
        from tvm_ffi import libinfo
    except ImportError as fault:
        raise EdgecError(TOOL_MISSING, "TVM is not installed", hint="pip install 'edgec[tvm]'") from fault
    headers = [f"-I{folder}" for folder in (libinfo.find_include_path(), libinfo.find_dlpack_include_path())]
    return shared_library("board", "farm_shell.c", ["-target", triple, "-nostdlib", "-s", *headers])


def _connected(farm: BoardFarm, loan: Loan) -> _Session:
    from tvm import rpc

    # What TVM's client logs is repeated by the errors raised here.
    logging.getLogger("RPCServer").setLevel(logging.ERROR)
    try:
        session: _Session = _within(
            _CONNECT_SECONDS,
            lambda: rpc.connect(loan.host, loan.port, loan.match_key, session_timeout=_SESSION_SECONDS),
        )
    except (RuntimeError, TimeoutError) as fault:
        raise EdgecError(
            BOARD_UNREACHABLE,
            f"the board that the tracker lent, at {loan.host}:{loan.port}, does not answer",
            where=farm.address,
            hint="start its server with --custom-addr if this machine reaches it by another address",
            details=tuple(str(fault).strip().splitlines()[-3:]),
        ) from fault
    return session


def _within(seconds: float, work: Callable[[], _Result]) -> _Result:
    """What `work` gives; TimeoutError if it takes longer. A call into TVM cannot be ended, so it is left behind."""
    future: Future[_Result] = Future()

    def settle() -> None:
        try:
            future.set_result(work())
        except (EdgecError, RuntimeError, ValueError, TypeError, OSError) as fault:
            # The error, the future and this frame hold each other until a garbage collection, and a session with them.
            traceback.clear_frames(fault.__traceback__)
            future.set_exception(fault)

    threading.Thread(target=settle, daemon=True).start()
    return future.result(timeout=seconds)
