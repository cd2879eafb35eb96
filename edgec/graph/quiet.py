"""Keeps the log of onnx_ir out of the user's terminal: what matters of it becomes an error of ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_onnx_ir() -> Iterator[None]:
    """Hold back the warnings that onnx_ir logs about odd models."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
