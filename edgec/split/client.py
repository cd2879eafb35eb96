"""The device's end of the link."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import time
from dataclasses import dataclass

from edgec.split.addresses import AddressLookup
from edgec.split.manifest import SplitManifest
from edgec.split.wire import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    Coding,
    Failure,
    FrameError,
    Header,
    Kind,
    checked_payload,
    pack,
    parse_failure,
    parse_header,
)

_LONGEST_REASON = 4096


class LinkError(Exception):
    """A request that got no answer.

    Args:
        reason: what happened to it.
        is_final: whether the server would say the same again.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final


@dataclass(frozen=True)
class Server:
    """Where a server is, and how to know that it is the right one.

    Attributes:
        host: name or address.
        port: of the server.
        token: what the server asks for; empty for none.
        fingerprint: SHA-256 of the server's certificate in hexadecimal; empty for a plain connection.
    """

    host: str
    port: int
    token: bytes = b""
    fingerprint: str = ""


@dataclass(frozen=True)
class Reply:
    """The answer to a request.

    Attributes:
        payload: what the tail made.
        elapsed_ms: from the first byte sent to the last received.
        server_ms: the part of it that the server spent.
        sent_bytes: of the request's frame.
        received_bytes: of the answer's frame.
    """

    payload: bytes
    elapsed_ms: float
    server_ms: float
    sent_bytes: int
    received_bytes: int


class SplitClient:
    """One connection, opened when it is needed and again after it broke.

    Args:
        server: where to connect.
        manifest: of the split network.
        timeout_s: longest time of a request in all, its retries included.
    """

    def __init__(self, server: Server, manifest: SplitManifest, timeout_s: float) -> None:
        self._server = server
        self._lookup = AddressLookup(server.host, server.port)
        self._identity = manifest.identity
        self._most_bytes = max(manifest.returned_bytes, _LONGEST_REASON)
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._number = 0

    def deadline(self) -> float:
        """When a request that begins now is over, whatever happens: a time of `time.monotonic`."""
        return time.monotonic() + self._timeout_s

    def ask(self, payload: bytes, coding: Coding, shape: tuple[int, ...], deadline: float | None = None) -> Reply:
        """The server's answer to what the head made.

        A request changes nothing on the server, so one that was lost with its connection is sent once more.

        Args:
            payload: what travels.
            coding: of the payload.
            shape: of the tensor that it holds.
            deadline: of the request that this is a part of; None where it is all of it.

        Raises:
            LinkError: there is none before the deadline.
        """
        return self._twice(deadline, Kind.REQUEST, Kind.RESPONSE, payload, coding, shape)

    def probe(self, deadline: float | None = None) -> Reply:
        """The answer to an empty frame: the time there and back.

        Args:
            deadline: as for `ask`.

        Raises:
            LinkError: there is none before the deadline.
        """
        return self._twice(deadline, Kind.PROBE, Kind.PROBE, b"", Coding.RAW, ())

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _twice(
        self, by: float | None, kind: Kind, wanted: Kind, payload: bytes, coding: Coding, shape: tuple[int, ...]
    ) -> Reply:
        deadline = self.deadline() if by is None else by
        try:
            return self._once(deadline, kind, wanted, payload, coding, shape)
        except LinkError as error:
            if error.is_final or time.monotonic() >= deadline:
                raise
        return self._once(deadline, kind, wanted, payload, coding, shape)

    def _once(
        self, deadline: float, kind: Kind, wanted: Kind, payload: bytes, coding: Coding, shape: tuple[int, ...]
    ) -> Reply:
        try:
            link = self._connected(deadline)
            started = time.perf_counter()
            header, answer, sent_bytes = self._exchange(link, deadline, kind, payload, coding, shape)
            elapsed_ms = (time.perf_counter() - started) * 1e3
        except FrameError as error:
            self.close()
            raise LinkError(f"the answer was damaged: {error.reason}") from error
        except OSError as error:
            self.close()
            raise LinkError(f"the connection failed: {error}") from error
        self._accept(header, answer, wanted)
        return Reply(answer, elapsed_ms, header.server_us / 1e3, sent_bytes, _frame_bytes(answer))

    def _accept(self, header: Header, answer: bytes, wanted: Kind) -> None:
        if header.kind is Kind.FAILURE:
            refusal = parse_failure(answer)
            if refusal.failure is not Failure.BUSY:
                self.close()
            is_final = refusal.failure is not Failure.DAMAGED
            raise LinkError(f"the server refused the request: {refusal.reason}", is_final=is_final)
        if header.kind is not wanted or header.request != self._number:
            self.close()
            raise LinkError(f"the server sent a {header.kind.name.lower()} that does not belong to the request")

    def _connected(self, deadline: float) -> socket.socket:
        if self._socket is not None:
            return self._socket
        server = self._server
        link = _opened(self._lookup, deadline)
        try:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if server.fingerprint:
                link.settimeout(_left(deadline))
                link = _pinned(link, server.fingerprint)
            header, answer, _ = self._exchange(link, deadline, Kind.HELLO, server.token, Coding.RAW, ())
            self._accept(header, answer, Kind.HELLO)
        except BaseException:
            link.close()
            raise
        self._socket = link
        return link

    def _exchange(
        self, link: socket.socket, deadline: float, kind: Kind, payload: bytes, coding: Coding, shape: tuple[int, ...]
    ) -> tuple[Header, bytes, int]:
        """Header and payload of the answer to one frame, and the size of that frame."""
        self._number += 1
        frame = pack(Header(kind, self._number, self._identity, len(payload), coding, shape), payload)
        link.settimeout(_left(deadline))
        link.sendall(frame)
        header = parse_header(_received(link, HEADER_BYTES, deadline), self._most_bytes)
        return header, checked_payload(_received(link, header.payload_bytes + CHECKSUM_BYTES, deadline)), len(frame)


def _frame_bytes(payload: bytes) -> int:
    return HEADER_BYTES + len(payload) + CHECKSUM_BYTES


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time-out is over")
    return left


def _opened(lookup: AddressLookup, deadline: float) -> socket.socket:
    """A connection to the first address that takes one.

    Raises:
        OSError: none does before the deadline.
    """
    failure = OSError("the host has no address")
    for family, address in lookup.addresses(_left(deadline)):
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(_left(deadline))
            link.connect(address)
        except OSError as error:
            link.close()
            failure = error
        else:
            return link
    raise failure


def _received(link: socket.socket, count: int, deadline: float) -> bytes:
    data = bytearray()
    while len(data) < count:
        link.settimeout(_left(deadline))
        part = link.recv(min(count - len(data), 2**16))
        if not part:
            raise ConnectionResetError("the server closed the connection")
        data += part
    return bytes(data)


def _pinned(link: socket.socket, fingerprint: str) -> ssl.SSLSocket:
    """The connection under TLS, with the one certificate that the device knows.

    A pinned certificate needs no authority that vouches for it, nor a name: it is compared as a whole.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secured = context.wrap_socket(link)
    certificate = secured.getpeercert(binary_form=True) or b""
    if not hmac.compare_digest(hashlib.sha256(certificate).hexdigest(), fingerprint.lower().replace(":", "")):
        secured.close()
        raise LinkError("the server's certificate is not the pinned one", is_final=True)
    return secured
