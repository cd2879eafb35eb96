"""Entropy coding of a latent tensor on the host; `hw/entropy/edgec_entropy.c` makes the same bytes on a device.

The coder is constriction's `AnsCoder` (https://bamler-lab.github.io/constriction): asymmetric numeral systems with a
64-bit state, 32-bit words and 24-bit probabilities. Probabilities are handed over such that its conversion to fixed
point is exact, so no floating point stands between a latent and its bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from edgec.core.codes.split import CORRUPT_PAYLOAD, LATENT_OUT_OF_RANGE
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.split.frequency_tables import FrequencyTables

_SCALE = 256
"""Fixed-point probabilities have 24 bits, frequencies 16."""
_WORD_BYTES = 4


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the elements of a latent are in the order in which they travel.

    Attributes:
        order: their row-major numbers.
        back: for each element, row-major, its place in that order.
        spans: for each table, begin and end of its elements in that order.
        low: for each element in that order, the lowest symbol of its table.
        known: likewise, how many symbols its table has.
    """

    order: np.ndarray
    back: np.ndarray
    spans: tuple[tuple[int, int], ...]
    low: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, tables: FrequencyTables, elements: int) -> _Layout:
        """The layout of a latent of so many elements."""
        places = tables.places(elements)
        sizes = [len(part) for part in places]
        ends = np.cumsum(sizes).tolist()
        order = np.concatenate(places)
        return cls(
            order,
            np.argsort(order),
            tuple((end - size, end) for size, end in zip(sizes, ends, strict=True)),
            np.repeat(np.array([table.low for table in tables.tables], np.int8), sizes),
            np.repeat(np.array([len(table.frequencies) for table in tables.tables], np.int32), sizes),
        )


class EntropyCoder:
    """Codes latents of shape [channels, …] with the frequencies of each channel or group of elements.

    Args:
        tables: how often each symbol occurs.

    Raises:
        EdgecError: EC0901 if constriction is not installed.
    """

    def __init__(self, tables: FrequencyTables) -> None:
        self.tables = tables
        try:
            import constriction
        except ImportError as error:
            what, hint = "the entropy coder constriction is not installed", "pip install 'edgec[split]'"
            raise EdgecError(TOOL_MISSING, what, hint=hint) from error
        self._known: _Layout | None = None
        self._stack = constriction.stream.stack.AnsCoder
        self._categorical = constriction.stream.model.Categorical

    def encode(self, latent: np.ndarray) -> bytes:
        """The payload of a latent.

        Args:
            latent: int8 [channels, …].

        Raises:
            EdgecError: EC1201 for a symbol that its table does not hold.
        """
        coder, layout = self._stack(), self._layout(latent.size)
        symbols = np.subtract(latent.ravel().take(layout.order), layout.low, dtype=np.int32)
        self._check(symbols, layout)
        # The coder is a stack: what is to come out first goes in last.
        for model, (begin, end) in zip(reversed(self._models), reversed(layout.spans), strict=True):
            coder.encode_reverse(symbols[begin:end], model)
        # The last word is the upper end of the coder's state: bytes of it that say nothing do not travel.
        return bytes(coder.get_compressed().astype("<u4").tobytes()).rstrip(b"\0")

    def decode(self, payload: bytes, shape: tuple[int, ...]) -> np.ndarray:
        """The latent, int8, that a payload was made from.

        Args:
            payload: what `encode` returned, here or on a device.
            shape: of the latent, [channels, …].

        Raises:
            EdgecError: EC1202 for bytes that `encode` does not make from a latent of this shape.
        """
        if payload.endswith(b"\0"):
            raise _corrupt("its last byte is impossible")
        words = payload + bytes(-len(payload) % _WORD_BYTES)
        coder = self._stack(np.frombuffer(words, "<u4").astype(np.uint32))
        layout = self._layout(math.prod(shape))
        spans = zip(self._models, layout.spans, strict=True)
        parts = [coder.decode(model, end - begin) for model, (begin, end) in spans]
        if not coder.is_empty():
            raise _corrupt("something is left over behind the last symbol")
        # A symbol above 127 wraps around, and so does its sum with the lowest of its table: back to what it was.
        symbols = np.concatenate(parts, dtype=np.int8, casting="unsafe")
        latent: np.ndarray = (symbols + layout.low).take(layout.back).reshape(shape)
        return latent

    def _check(self, symbols: np.ndarray, layout: _Layout) -> None:
        """Whether every symbol, counted from the lowest of its table, is in its table."""
        outside = (symbols < 0) | (symbols >= layout.known)
        if outside.any():
            first = int(outside.argmax())
            number = next(number for number, (begin, end) in enumerate(layout.spans) if begin <= first < end)
            table = self.tables.tables[number]
            what = f"elements of table {number} hold symbols outside {table.low} to {table.high}"
            raise EdgecError(LATENT_OUT_OF_RANGE, what, where="entropy coder", hint=LATENT_OUT_OF_RANGE.remedy)

    def _layout(self, elements: int) -> _Layout:
        """Found once: all latents of a network have the same size."""
        if self._known is None or len(self._known.low) != elements:
            self._known = _Layout.of(self.tables, elements)
        return self._known

    @cached_property
    def _models(self) -> list[Any]:
        """The model of constriction for each table, with exactly the frequencies of its table.

        Its fast conversion gives each of n symbols 1 + floor(p (2^24 - n) / sum p) of 2^24: with p one less than the
        wanted integers, the division is by itself and nothing is rounded.
        """
        wanted = (np.asarray(table.frequencies, np.float64) * _SCALE for table in self.tables.tables)
        return [self._categorical(frequencies - 1, perfect=False) for frequencies in wanted]


def _corrupt(why: str) -> EdgecError:
    return EdgecError(CORRUPT_PAYLOAD, f"the payload is damaged: {why}", hint=CORRUPT_PAYLOAD.remedy)
