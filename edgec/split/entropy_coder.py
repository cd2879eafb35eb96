"""Entropy coding of a latent tensor on the host; `hw/entropy/edgec_entropy.c` makes the same bytes on a device.

The coder is constriction's `AnsCoder` (https://bamler-lab.github.io/constriction): asymmetric numeral systems with a
64-bit state, 32-bit words and 24-bit probabilities. Probabilities are handed over such that its conversion to fixed
point is exact, so no floating point stands between a latent and its bytes.
"""

from __future__ import annotations

import math
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
        self._stack = constriction.stream.stack.AnsCoder
        self._categorical = constriction.stream.model.Categorical

    def encode(self, latent: np.ndarray) -> bytes:
        """The payload of a latent.

        Args:
            latent: int8 [channels, …].

        Raises:
            EdgecError: EC1201 for a symbol that its table does not hold.
        """
        coder, flat = self._stack(), latent.ravel()
        places = self.tables.places(flat.size)
        # The coder is a stack: what is to come out first goes in last.
        for number in reversed(range(len(places))):
            table = self.tables.tables[number]
            symbols = flat[places[number]].astype(np.int32) - table.low
            if symbols.size and (symbols.min() < 0 or symbols.max() >= len(table.frequencies)):
                what = f"elements of table {number} hold symbols outside {table.low} to {table.high}"
                raise EdgecError(LATENT_OUT_OF_RANGE, what, where="entropy coder", hint=LATENT_OUT_OF_RANGE.remedy)
            coder.encode_reverse(symbols, self._models[number])
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
        latent = np.empty(math.prod(shape), np.int8)
        for table, model, places in zip(self.tables.tables, self._models, self.tables.places(latent.size), strict=True):
            latent[places] = coder.decode(model, places.size) + table.low
        if not coder.is_empty():
            raise _corrupt("something is left over behind the last symbol")
        return latent.reshape(shape)

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
