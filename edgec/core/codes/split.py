"""Errors of split computing: EC12xx."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

LATENT_OUT_OF_RANGE = ErrorCode(
    "EC1201",
    "a latent holds a symbol that cannot be coded",
    ExitStatus.USAGE,
    "The entropy coder codes the symbols that its frequency tables list; the head of a split network clips its latent "
    "to their range.",
    "Use the tables that were made with this head.",
)
CORRUPT_PAYLOAD = ErrorCode(
    "EC1202",
    "a payload cannot be decoded",
    ExitStatus.USAGE,
    "The bytes were damaged on their way, or made with other frequency tables or for a latent of another shape.",
    "Send it again; make sure that both ends hold artefacts of the same build.",
)
