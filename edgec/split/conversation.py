"""One connection of a server: admission, then one answer to each frame."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass

from edgec.split.batching import Batcher
from edgec.split.manifest import SplitManifest
from edgec.split.metrics import Metrics
from edgec.split.tensors import PayloadCoding, pack_tensors
from edgec.split.wire import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    Failure,
    FrameError,
    Header,
    Kind,
    checked_payload,
    pack,
    pack_failure,
    parse_header,
)

LONGEST_TOKEN = 4096
"""Bytes of a token at most: what a stranger may make the server read."""


@dataclass(frozen=True)
class Terms:
    """What holds for every connection of a server; times in seconds."""

    manifest: SplitManifest
    coding: PayloadCoding
    batcher: Batcher
    metrics: Metrics
    token: bytes
    idle_s: float
    frame_s: float


class Conversation:
    """One client.

    Args:
        terms: of the server.
        reader: what the client says.
        writer: what it is told.
    """

    def __init__(self, terms: Terms, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._terms = terms
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        """Talk until the client closes, is not admitted, or sends what is no frame.

        Raises:
            OSError: the connection broke.
            EOFError: it ended within a frame.
            TimeoutError: the client was silent for too long.
        """
        if not await self._admit():
            return
        while header := await self._next(self._terms.coding.most_bytes):
            try:
                payload = await self._payload(header)
                kind, answer, server_us = await self._answer(header, payload)
            except FrameError as error:
                await self._refuse(error, header.request)
                continue
            await self._send(kind, header.request, answer, server_us)

    async def _admit(self) -> bool:
        """Whether the first frame is a hello with the right token and for the network that is served here."""
        header = await self._next(LONGEST_TOKEN)
        if header is None:
            return False
        try:
            token = await self._payload(header)
            if header.kind is not Kind.HELLO or not hmac.compare_digest(token, self._terms.token):
                raise FrameError(Failure.NOT_ADMITTED, "the connection must begin with a hello and the server's token")
            if header.identity != self._terms.manifest.identity:
                raise FrameError(Failure.OTHER_NETWORK, "the server holds another network, or another build of it")
        except FrameError as error:
            await self._refuse(error, header.request)
            return False
        await self._send(Kind.HELLO, header.request, b"")
        return True

    async def _next(self, most_payload_bytes: int) -> Header | None:
        """The header of the next frame; None where the client closed, or has to be left for what it sent."""
        try:
            async with asyncio.timeout(self._terms.idle_s):
                data = await self._reader.readexactly(HEADER_BYTES)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None
        try:
            return parse_header(data, most_payload_bytes)
        except FrameError as error:
            # Where the next frame begins is unknown from here on.
            await self._refuse(error, 0)
            return None

    async def _payload(self, header: Header) -> bytes:
        async with asyncio.timeout(self._terms.frame_s):
            return checked_payload(await self._reader.readexactly(header.payload_bytes + CHECKSUM_BYTES))

    async def _answer(self, header: Header, payload: bytes) -> tuple[Kind, bytes, int]:
        """Kind and payload of the answer to a frame, and the time that it took, in microseconds."""
        if header.kind is Kind.PROBE:
            return Kind.PROBE, payload, 0
        if header.kind is not Kind.REQUEST:
            raise FrameError(Failure.DAMAGED, f"a {header.kind.name.lower()} is nothing that a client says")
        if header.identity != self._terms.manifest.identity:
            raise FrameError(Failure.OTHER_NETWORK, "the server holds another network, or another build of it")
        metrics = self._terms.metrics
        metrics.received_bytes.inc(len(payload))
        inputs = self._terms.coding.unpack(payload, header.coding, header.shape)
        metrics.waiting.set(self._terms.batcher.depth)
        answer = await self._terms.batcher.submit(inputs)
        metrics.requests.labels("answered").inc()
        metrics.seconds.observe(answer.server_us / 1e6)
        metrics.batch.observe(answer.batch)
        packed = pack_tensors(answer.outputs, self._terms.manifest.returned)
        metrics.sent_bytes.inc(len(packed))
        return Kind.RESPONSE, packed, answer.server_us

    async def _refuse(self, error: FrameError, request: int) -> None:
        self._terms.metrics.requests.labels(error.failure.name.lower().replace("_", " ")).inc()
        await self._send(Kind.FAILURE, request, pack_failure(error.failure, error.reason))

    async def _send(self, kind: Kind, request: int, payload: bytes, server_us: int = 0) -> None:
        identity = self._terms.manifest.identity
        longest_us = 2**32 - 1
        header = Header(kind, request, identity, len(payload), server_us=min(server_us, longest_us))
        self._writer.write(pack(header, payload))
        async with asyncio.timeout(self._terms.frame_s):
            await self._writer.drain()
