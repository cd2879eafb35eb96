"""The server of a split network's tail."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edgec.core.codes.split import LISTEN_FAILED
from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.split.batching import Batcher, Outputs
from edgec.split.conversation import Conversation, Terms
from edgec.split.manifest import SplitManifest
from edgec.split.metrics import Metrics
from edgec.split.tensors import PayloadCoding
from edgec.split.wire import HEADER_BYTES

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ServerSettings:
    """How a server listens and what it takes.

    Attributes:
        host: address to listen on; beyond this machine only with a token.
        port: 0 for any free one.
        token: what a client must present; empty to admit everybody on this machine.
        tls: certificate and key; None for plain connections.
        most_batch: requests of one run of the tail at most.
        most_waiting: requests that may wait; more are turned away at once.
        most_connections: open connections; more are closed at once.
        idle_s: seconds after which a silent connection is closed.
        frame_s: seconds that the rest of a frame may take once it has begun.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: bytes = b""
    tls: ssl.SSLContext | None = None
    most_batch: int = 16
    most_waiting: int = 256
    most_connections: int = 1024
    idle_s: float = 300.0
    frame_s: float = 10.0


class SplitServer:
    """Answers requests with the outputs of the tail.

    Args:
        manifest: of the split network.
        run: the outputs of several requests, as `Tail.run`.
        settings: how to listen.

    Raises:
        EdgecError: EC1205 for a server that would be open to the network.
    """

    def __init__(
        self,
        manifest: SplitManifest,
        run: Callable[[Sequence[Sample]], Sequence[Outputs]],
        settings: ServerSettings,
    ) -> None:
        if settings.host not in _LOOPBACK and not settings.token:
            what = f"listening on {settings.host} without a token would admit everybody who reaches this machine"
            raise EdgecError(LISTEN_FAILED, what, where="--host", hint="give --token-file")
        self.metrics = Metrics()
        self._settings = settings
        self._batcher = Batcher(run, most=settings.most_batch, waiting=settings.most_waiting)
        self._terms = Terms(
            manifest=manifest,
            coding=PayloadCoding(manifest),
            batcher=self._batcher,
            metrics=self.metrics,
            token=settings.token,
            idle_s=settings.idle_s,
            frame_s=settings.frame_s,
        )
        self._conversations: set[asyncio.Task[None]] = set()

    async def serve(self, started: Callable[[int], None]) -> None:
        """Listen until cancelled.

        Args:
            started: called with the port once connections are taken.

        Raises:
            EdgecError: EC1205 where the address cannot be listened on.
        """
        settings = self._settings
        try:
            server = await asyncio.start_server(
                self._connection, settings.host, settings.port, ssl=settings.tls, limit=HEADER_BYTES, backlog=1024
            )
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise EdgecError(LISTEN_FAILED, str(error), where=where, hint=LISTEN_FAILED.remedy) from error
        worker = asyncio.create_task(self._batcher.work())
        try:
            async with server:
                started(server.sockets[0].getsockname()[1])
                await server.serve_forever()
        finally:
            for task in (worker, *self._conversations):
                task.cancel()
            await asyncio.gather(worker, *self._conversations, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._conversations.add(task)
            task.add_done_callback(self._conversations.discard)
        self.metrics.connections.set(len(self._conversations))
        try:
            if len(self._conversations) <= self._settings.most_connections:
                await Conversation(self._terms, reader, writer).run()
        except asyncio.CancelledError:
            # The server closes; asyncio would log the cancellation of a connection as an error.
            return
        except (OSError, EOFError, TimeoutError):
            # The client is gone, or silent for too long: there is nobody to tell.
            self.metrics.requests.labels("connection lost").inc()
        finally:
            self.metrics.connections.set(len(self._conversations) - 1)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
