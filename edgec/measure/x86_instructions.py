"""Where each instruction of 64-bit x86 code ends, and what its parts are.

Only what decides the length is decoded (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2,
chapter 2 and appendix A).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_PREFIXES = frozenset({0x66, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x67, 0xF0})
_VEX2, _VEX3, _EVEX, _ESCAPE = 0xC5, 0xC4, 0x62, 0x0F
_MAP_OF_ESCAPE = {0x38: 2, 0x3A: 3}
_OPERAND_16, _ADDRESS_32 = 0x66, 0x67

_NO_MODRM_OF_ESCAPE = frozenset(
    {5, 6, 7, 8, 9, 0xB, 0xE, 0x77, *range(0x30, 0x38), *range(0x80, 0x90), 0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAA}
    | set(range(0xC8, 0xD0))
)
_BYTE_OF_ESCAPE = frozenset({0x0F, 0x70, 0x71, 0x72, 0x73, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6})
_MODRM = frozenset(
    {row + column for row in range(0, 0x40, 8) for column in range(4)}
    | {0x63, 0x69, 0x6B, 0x80, 0x81, 0x83, 0xC0, 0xC1, 0xC6, 0xC7, 0xF6, 0xF7, 0xFE, 0xFF}
    | set(range(0x84, 0x90))
    | set(range(0xD0, 0xD4))
    | set(range(0xD8, 0xE0))
)
_BYTE = frozenset(
    {row + 4 for row in range(0, 0x40, 8)}
    | {0x6A, 0x6B, 0x80, 0x83, 0xA8, 0xC0, 0xC1, 0xC6, 0xCD, 0xEB}
    | set(range(0x70, 0x80))
    | set(range(0xB0, 0xB8))
    | set(range(0xE0, 0xE8))
)
_WORD_OR_LONG = frozenset({row + 5 for row in range(0, 0x40, 8)} | {0x68, 0x69, 0x81, 0xA9, 0xC7})
_LONG = frozenset({0xE8, 0xE9})
_TEST = frozenset({0xF6, 0xF7})


class Encoding(StrEnum):
    """How an instruction begins."""

    LEGACY = "legacy"
    VEX = "VEX"
    EVEX = "EVEX"


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        start: its place in the code.
        length: in bytes.
        encoding: how it begins.
        opcode: the byte that names it within its map.
        opcode_map: 0 for one-byte opcodes, 1 after 0F, 2 after 0F 38, 3 after 0F 3A.
        prefix: the mandatory prefix of VEX and EVEX: 0 none, 1 for 66, 2 for F3, 3 for F2.
        modrm: place of the byte that names the operands; 0 where there is none.
        operands_end: where what tells the operands ends; an immediate may follow.
    """

    start: int
    length: int
    encoding: Encoding
    opcode: int
    opcode_map: int
    prefix: int
    modrm: int
    operands_end: int


def instructions(code: bytes) -> Iterator[Instruction]:
    """The instructions of a stretch of code, one after the other.

    Raises:
        IndexError: the code ends within an instruction.
    """
    at = 0
    while at < len(code):
        found = _decoded(code, at)
        at += found.length
        if at > len(code):
            raise IndexError("the code ends within an instruction")
        yield found


def _decoded(code: bytes, start: int) -> Instruction:
    at, operand_16, address_32, wide = start, False, False, False
    while code[at] in _PREFIXES:
        operand_16 |= code[at] == _OPERAND_16
        address_32 |= code[at] == _ADDRESS_32
        at += 1
    if code[at] in (_VEX2, _VEX3, _EVEX):
        return _vector(code, start, at)
    if code[at] & 0xF0 == 0x40:
        wide = bool(code[at] & 8)
        at += 1
    opcode, opcode_map = code[at], 0
    at += 1
    if opcode == _ESCAPE:
        opcode, opcode_map = code[at], 1
        at += 1
        if opcode in _MAP_OF_ESCAPE:
            opcode_map, opcode = _MAP_OF_ESCAPE[opcode], code[at]
            at += 1
    modrm = at if _has_modrm(opcode_map, opcode) else 0
    at = _after_operands(code, at) if modrm else at
    size = 2 if operand_16 and not wide else 4
    immediate = _immediate(opcode_map, opcode, code[modrm] >> 3 & 7, size, wide=wide, address=4 if address_32 else 8)
    return Instruction(start, at + immediate - start, Encoding.LEGACY, opcode, opcode_map, 0, modrm, at)


def _vector(code: bytes, start: int, at: int) -> Instruction:
    encoding = Encoding.EVEX if code[at] == _EVEX else Encoding.VEX
    if code[at] == _VEX2:
        opcode_map, prefix, opcode = 1, code[at + 1] & 3, at + 2
    else:
        opcode_map, prefix, opcode = code[at + 1] & 7, code[at + 2] & 3, at + (4 if encoding is Encoding.EVEX else 3)
    modrm = 0 if (opcode_map, code[opcode]) == (1, 0x77) else opcode + 1
    end = _after_operands(code, modrm) if modrm else opcode + 1
    immediate = int(opcode_map == 3 or (opcode_map == 1 and code[opcode] in _BYTE_OF_ESCAPE))
    return Instruction(start, end + immediate - start, encoding, code[opcode], opcode_map, prefix, modrm, end)


def _has_modrm(opcode_map: int, opcode: int) -> bool:
    if opcode_map == 0:
        return opcode in _MODRM
    return opcode_map > 1 or opcode not in _NO_MODRM_OF_ESCAPE


def _after_operands(code: bytes, modrm: int) -> int:
    mode, register = code[modrm] >> 6, code[modrm] & 7
    if mode == 3:
        return modrm + 1
    at, base = modrm + 1, register
    if register == 4:
        base = code[at] & 7
        at += 1
    if mode == 0:
        return at + (4 if base == 5 else 0)
    return at + (1 if mode == 1 else 4)


def _immediate(opcode_map: int, opcode: int, extension: int, size: int, *, wide: bool, address: int) -> int:
    """Bytes of the immediate; `size` is that of one which follows the size of the operands."""
    if opcode_map == 1:
        return 4 if 0x80 <= opcode < 0x90 else int(opcode in _BYTE_OF_ESCAPE)
    if opcode_map:
        return int(opcode_map == 3)
    if opcode in _TEST:
        return (1 if opcode == 0xF6 else size) if extension < 2 else 0
    if 0xB8 <= opcode < 0xC0:
        return 8 if wide else size
    if 0xA0 <= opcode < 0xA4:
        return address
    if opcode in _WORD_OR_LONG:
        return size
    special = {0xC2: 2, 0xCA: 2, 0xC8: 3}
    return 4 if opcode in _LONG else special.get(opcode, int(opcode in _BYTE))
