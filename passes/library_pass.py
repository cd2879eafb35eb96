"""Running the passes of onnx_ir and onnxscript: their errors become ours, their log stays out of the terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from edgec.core.codes.passes import REWRITE_FAILED
from edgec.core.errors import EdgecError

_LIBRARY_ERRORS = (
    ir.passes.PassError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the libraries raise for graphs that they did not foresee."""


def run_library_pass(library_pass: ir.passes.PassBase, model: ir.Model) -> bool:
    """Run a pass of a library in place; whether it changed the model.

    Raises:
        EdgecError: the pass failed; EC0315 with the innermost cause.
    """
    try:
        with quiet_libraries():
            return bool(library_pass(model).modified)
    except _LIBRARY_ERRORS as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise EdgecError(
            REWRITE_FAILED,
            f"{type(library_pass).__name__.lstrip('_')}: {error} ({type(cause).__name__}: {cause})",
            hint="check the model with onnx.checker.check_model(model, full_check=True)",
        ) from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hold back the warnings that the libraries log about nodes they leave alone; passes report those as skips."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
