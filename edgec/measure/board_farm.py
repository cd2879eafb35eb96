"""A farm of boards: TVM's RPC tracker, which lends the boards of a kind one by one.

Its protocol (`tvm/rpc/tracker.py`): both sides send a magic number of four bytes, little endian; then each message is
its length, in four bytes, and JSON. It is spoken here and not by TVM's client, which waits for ever for a busy board.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from pydantic import BaseModel, TypeAdapter, ValidationError

from edgec.core.codes.board import BOARD_UNREACHABLE
from edgec.core.errors import EdgecError

_MAGIC = struct.pack("<i", 0x2F271)
_CONNECT_SECONDS = 15.0
_LARGEST_MESSAGE = 1 << 20
_PRIORITY = 1


class _Request(IntEnum):
    """Requests of the protocol."""

    LEND = 4
    SUMMARY = 6


class _Server(BaseModel):
    key: str


class _Summary(BaseModel):
    server_info: tuple[_Server, ...]


_LOAN = TypeAdapter(tuple[int, tuple[str, int, str]])
_SUMMARY = TypeAdapter(tuple[int, _Summary])


@dataclass(frozen=True)
class Loan:
    """A board that the tracker lends: where its server listens, and the key that it asks for."""

    host: str
    port: int
    match_key: str


@dataclass(frozen=True)
class BoardFarm:
    """The boards of one kind at a tracker.

    Attributes:
        host: of the tracker.
        port: of the tracker.
        key: of the kind, as the boards' servers registered themselves.
        wait_seconds: how long to wait for a board that others use.
    """

    host: str
    port: int
    key: str
    wait_seconds: float = 600.0

    @property
    def address(self) -> str:
        """As the user writes it."""
        return f"rpc://{self.host}:{self.port}/{self.key}"

    def boards(self) -> int:
        """How many boards of the kind the tracker knows, free or lent.

        Raises:
            EdgecError: EC0656 if the tracker cannot be reached or knows none.
        """
        with self._tracker() as connection:
            return self._boards(connection)

    def lend(self) -> Loan:
        """Wait for a free board.

        Raises:
            EdgecError: EC0656 if the tracker cannot be reached, knows none, or has none free in time.
        """
        with self._tracker() as connection:
            boards = self._boards(connection)
            connection.settimeout(self.wait_seconds)
            try:
                answer = self._asked(connection, [_Request.LEND, self.key, "", _PRIORITY])
            except TimeoutError as fault:
                raise self._unreachable(
                    f"none of the {boards} boards of {self.key} became free within {self.wait_seconds:g} s",
                    "wait until the others are done, or add boards to the farm",
                ) from fault
            try:
                _, (host, port, match_key) = _LOAN.validate_python(answer)
            except ValidationError as fault:
                raise self._no_tracker() from fault
            return Loan(host, port, match_key)

    @contextmanager
    def _tracker(self) -> Iterator[socket.socket]:
        """A connection to the tracker after the greeting; its faults are EC0656."""
        try:
            with socket.create_connection((self.host, self.port), timeout=_CONNECT_SECONDS) as connection:
                connection.sendall(_MAGIC)
                if _received(connection, len(_MAGIC)) != _MAGIC:
                    raise self._no_tracker()
                yield connection
        except OSError as fault:
            raise self._unreachable(
                f"the tracker cannot be reached: {fault.strerror or fault}",
                "start it there: python -m tvm.exec.rpc_tracker --port " + str(self.port),
            ) from fault

    def _boards(self, connection: socket.socket) -> int:
        answer = self._asked(connection, [_Request.SUMMARY])
        try:
            servers = _SUMMARY.validate_python(answer)[1].server_info
        except ValidationError as fault:
            raise self._no_tracker() from fault
        keys = [server.key.removeprefix("server:") for server in servers]
        if self.key not in keys:
            raise self._unreachable(
                f"the tracker knows no board of {self.key}; it knows: {', '.join(sorted(set(keys))) or 'none'}",
                f"run on the board: python -m tvm.exec.rpc_server --tracker {self.host}:{self.port} --key {self.key}",
            )
        return keys.count(self.key)

    def _asked(self, connection: socket.socket, request: list[object]) -> object:
        content = json.dumps(request).encode()
        connection.sendall(struct.pack("<i", len(content)) + content)
        (size,) = struct.unpack("<i", _received(connection, 4))
        if not 0 < size <= _LARGEST_MESSAGE:
            raise self._no_tracker()
        try:
            answer: object = json.loads(_received(connection, size))
        except ValueError as fault:
            raise self._no_tracker() from fault
        return answer

    def _no_tracker(self) -> EdgecError:
        return self._unreachable("what answers there is no TVM RPC tracker", "check the tracker's name and port")

    def _unreachable(self, what: str, hint: str) -> EdgecError:
        return EdgecError(BOARD_UNREACHABLE, what, where=self.address, hint=hint)


def _received(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes.

    Raises:
        OSError: the other side closed the connection, or was silent for too long.
    """
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionResetError("the connection was closed")
        received += part
    return received
