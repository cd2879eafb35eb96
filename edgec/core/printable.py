"""Text from files, made safe to show: names come from the user's model and must not drive the terminal."""

from __future__ import annotations

import unicodedata

_LINE_BREAKS = frozenset({"Zl", "Zp"})


def printable(text: str) -> str:
    """The text on one line, with control, direction and unassigned characters as escapes."""
    if text.isprintable():
        return text
    return "".join(_escape(character) if _drives(character) else character for character in text)


def _drives(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in _LINE_BREAKS


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
