"""A server in a thread, with a tail that is plain numpy, and a link between client and server that can be spoilt."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from edgec.core.tensor import Sample, TensorSpec
from edgec.split.frequency_tables import tables_from_counts
from edgec.split.manifest import SplitManifest
from edgec.split.server import ServerSettings, SplitServer

LATENT = TensorSpec(name="latent", dtype="int8", shape=(1, 4, 6, 5))
SCORES = TensorSpec(name="scores", dtype="float32", shape=(1, 4))


def manifest(*, entropy: bool = True, tail: str = "0") -> SplitManifest:
    tables = tables_from_counts(np.full(4, -8), [np.arange(1, 17)] * 4) if entropy else None
    return SplitManifest(cut=("latent",), sent=(LATENT,), returned=(SCORES,), tables=tables, tail_sha256=tail)


def latent(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 8, LATENT.shape, dtype=np.int8)


def scores(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).sum(axis=(2, 3)) / 3


def tail(requests: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
    return [{"scores": scores(request["latent"])} for request in requests]


@contextmanager
def serving(
    description: SplitManifest,
    settings: ServerSettings | None = None,
    run: Callable[[Sequence[Sample]], list[dict[str, np.ndarray]]] = tail,
) -> Iterator[tuple[SplitServer, int]]:
    """A running server and its port."""
    server = SplitServer(description, run, settings or ServerSettings())
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    ready = threading.Event()

    def started(port: int) -> None:
        ports.append(port)
        ready.set()

    task = loop.create_task(server.serve(started))

    def work() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(10)
    try:
        yield server, ports[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


class SpoiltLink:
    """A proxy that delays, cuts, truncates and corrupts what passes; seeded.

    Args:
        port: of the server.
        trouble: probability that something happens to a piece of the stream.
    """

    def __init__(self, port: int, trouble: float, seed: int) -> None:
        self._target = port
        self._trouble = trouble
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if self._random.random() < self._trouble:
                    data = self._spoilt(data, source)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _spoilt(self, data: bytes, source: socket.socket) -> bytes:
        kind = self._random.randrange(4)
        if kind == 0:
            time.sleep(self._random.choice([0.005, 0.02, 0.2]))
            return data
        if kind == 1:
            source.shutdown(socket.SHUT_RDWR)
            return b""
        if kind == 2:
            return data[: self._random.randrange(len(data))]
        spoilt = bytearray(data)
        for _ in range(self._random.randrange(1, 4)):
            spoilt[self._random.randrange(len(spoilt))] ^= 1 << self._random.randrange(8)
        return bytes(spoilt)
