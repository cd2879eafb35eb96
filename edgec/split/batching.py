"""Requests of many clients, run together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from edgec.core.tensor import Sample
from edgec.split.wire import Failure, FrameError

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What the tail made of one request.

    Attributes:
        outputs: by name.
        batch: number of requests that ran together.
        server_us: from the request's arrival to its answer, in microseconds.
    """

    outputs: Outputs
    batch: int
    server_us: int


@dataclass(frozen=True)
class _Waiting:
    inputs: Sample
    answer: asyncio.Future[Answer]
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Runs whatever has arrived while the run before was busy: no request waits for others to come.

    Args:
        run: the outputs of several requests; called in a thread of its own, never twice at a time.
        most: requests of one run at most.
        waiting: requests that may wait; more are turned away.
    """

    def __init__(self, run: Callable[[Sequence[Sample]], Sequence[Outputs]], *, most: int, waiting: int) -> None:
        self._run = run
        self._most = most
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(waiting)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tail")

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return self._queue.qsize()

    async def submit(self, inputs: Sample) -> Answer:
        """The answer to one request.

        Raises:
            FrameError: too many requests wait already, or the tail failed.
        """
        waiting = _Waiting(inputs, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull as error:
            raise FrameError(Failure.BUSY, f"{self._queue.maxsize} requests wait already") from error
        return await waiting.answer

    async def work(self) -> None:
        """Serve the queue until cancelled."""
        try:
            while True:
                batch = [await self._queue.get()]
                while len(batch) < self._most and not self._queue.empty():
                    batch.append(self._queue.get_nowait())
                await self._serve([waiting for waiting in batch if not waiting.answer.cancelled()])
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        inputs = [waiting.inputs for waiting in batch]
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, inputs)
        # The tail is a user's model in another library: its failure is an answer, not the end of the server.
        except Exception as error:  # noqa: BLE001
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(FrameError(Failure.TAIL_FAILED, f"{type(error).__name__}: {error}"))
            return
        now = time.perf_counter()
        for waiting, outputs in zip(batch, made, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(Answer(outputs, len(batch), int((now - waiting.since) * 1e6)))
