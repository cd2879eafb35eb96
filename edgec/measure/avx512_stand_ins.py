"""A program with AVX-512 made countable in an emulator that knows AVX2 and no AVX-512, as QEMU does.

What a kernel's loops do is decided by its integer instructions, which the emulator knows. So each instruction that it
does not know is replaced by one of the same length that does nothing, or that reads 4 bytes at the same address if the
instruction reads or writes memory (`fcom m32fp`, which changes no general register, no flag and no memory). The program
then computes nonsense, by as many instructions and accesses at the same places.

That holds unless data decide what is executed: where the code moves vectors or masks to flags, or to general registers
for more than to store them, the counts might not be those of the program, and none are given. Gathers and scatters are
counted as instructions, without accesses.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, sections 2.3 (VEX) and 2.7 (EVEX; 2.7.5
for displacements of 8 bits, whose unit depends on the instruction).
"""

from __future__ import annotations

import struct

from edgec.core.metric import Unavailable
from edgec.measure.x86_instructions import Encoding, Instruction, instructions

_LOADED, _EXECUTABLE = 1, 1
_READ_FLOAT, _COMPARE = 0xD8, 2
"""`fcom m32fp` is number 2 of the instructions that begin with D8."""
_NOTHING = bytes.fromhex("0f1f00")
_PADDING = 0x3E
"""A prefix that means nothing in 64-bit code."""
_REX, _REX_INDEX, _REX_BASE = 0x40, 2, 1

_PRODUCT = "the emulator lacks AVX-512, and the artefact cannot be counted without it"
_Name = tuple[int, int]
"""Map and opcode of an instruction."""


def _names(opcode_map: int, *opcodes: int) -> frozenset[_Name]:
    return frozenset((opcode_map, opcode) for opcode in opcodes)


_MASKS = _names(1, 0x41, 0x42, 0x44, 0x45, 0x46, 0x47, 0x4A, 0x4B, 0x90, 0x91, 0x92) | _names(3, *range(0x30, 0x34))
_DOT_PRODUCTS = _names(2, *range(0x50, 0x54))
"""With VEX: AVX-VNNI, which the emulator lacks too."""
_MASK_TO_INTEGER = _names(1, 0x93, 0x98, 0x99)
_VECTOR_TO_INTEGER = _names(1, 0x2C, 0x2D, 0x2E, 0x2F, 0x50, 0xC5, 0xD7) | _names(2, 0x0E, 0x0F, 0x17)
_EVEX_TO_INTEGER = _names(1, 0x78, 0x79)
"""With the prefix of scalars; others convert vectors."""
_VECTOR_OUT = _names(3, 0x14, 0x15, 0x16, 0x17) | _names(1, 0x7E)
"""To a general register or to memory."""
_STORES = _names(0, 0x88, 0x89)
_GATHERS = _names(2, *range(0x90, 0x94), *range(0xA0, 0xA4))
_SCALAR_PREFIXES = (2, 3)

_UNITS: dict[_Name, int] = {
    **dict.fromkeys(_names(2, 0x78) | _names(3, 0x14, 0x20), 1),
    **dict.fromkeys(_names(2, 0x79) | _names(1, 0xC4) | _names(3, 0x15), 2),
    **dict.fromkeys(_names(2, 0x18, 0x58) | _names(3, 0x17, 0x21), 4),
    **dict.fromkeys(_names(2, 0x19, 0x59) | _names(1, 0x13, 0x17, 0xD6), 8),
    **dict.fromkeys(_names(1, 0xD1, 0xD2, 0xD3, 0xE1, 0xE2, 0xF1, 0xF2, 0xF3), 16),
    **dict.fromkeys(_names(2, 0x1A, 0x5A) | _names(3, 0x18, 0x19, 0x38, 0x39), 16),
    **dict.fromkeys(_names(2, 0x1B, 0x5B) | _names(3, 0x1A, 0x1B, 0x3A, 0x3B), 32),
}
"""Bytes that a displacement of 8 bits counts in, where neither the vector nor its elements decide."""
_ELEMENTS = (
    _names(1, 0x2E, 0x2F, 0x6E)
    | _names(2, 0x2D, 0x43, 0x4D, 0x4F, 0x88, 0x89, 0x8A, 0x8B, 0xCB, 0xCD)
    | _names(2, *(row + column for row in (0x90, 0xA0, 0xB0) for column in (9, 0xB, 0xD, 0xF)))
    | _names(3, 0x0A, 0x0B, 0x16, 0x22, 0x27, 0x51, 0x55, 0x57, 0x67)
)
_SCALARS = _names(1, 0x10, 0x11, 0x51, 0x5A, 0xC2, *range(0x58, 0x5A), *range(0x5C, 0x60))
"""With the prefix of scalars: single precision with F3, double with F2."""
_FROM_INTEGER = _names(1, 0x2A, 0x7B)
_MOVED_HALVES = _names(1, 0x12, 0x16)
"""Without a prefix or with 66."""
_DUPLICATED = (1, 0x12)
_MOVED_QUADWORD = _names(1, 0x7E)
_NARROW = {0: 2, 1: 4, 2: 8, 3: 2, 4: 4, 5: 2}
"""What part of a vector lies in memory where elements are made wider or narrower, by the last digit of the opcode."""


def with_stand_ins(program: bytes) -> bytes | Unavailable:
    """A program, a 64-bit ELF file for x86, without what the emulator lacks; or why its counts would be wrong."""
    changed = bytearray(program)
    decided = False
    try:
        for start, size in _code_sections(program):
            code = program[start : start + size]
            before: int | None = None
            for found in instructions(code):
                own = code[found.start : found.start + found.length]
                decided |= before is not None and not _stores(own, found, before)
                before = _moved_out(own, found)
                decided |= _data_decide(found)
                if _is_unknown(found):
                    changed[start + found.start : start + found.start + found.length] = _stand_in(own, found)
    except (LookupError, struct.error):
        return Unavailable(unavailable=f"{_PRODUCT}: it has instructions that edgec does not know")
    if decided and changed != program:
        return Unavailable(unavailable=f"{_PRODUCT}: what is executed depends on data in vectors")
    return bytes(changed)


def _code_sections(program: bytes) -> list[tuple[int, int]]:
    """Place and size of each section of machine code."""
    (table,) = struct.unpack_from("<Q", program, 0x28)
    entry_size, entries = struct.unpack_from("<HH", program, 0x3A)
    sections = []
    for number in range(entries):
        kind, flags, _, place, size = struct.unpack_from("<IQQQQ", program, table + number * entry_size + 4)
        if kind == _LOADED and flags & 4:
            sections.append((place, size))
    return sections


def _is_unknown(found: Instruction) -> bool:
    name = (found.opcode_map, found.opcode)
    return found.encoding is Encoding.EVEX or (found.encoding is Encoding.VEX and name in _MASKS | _DOT_PRODUCTS)


def _data_decide(found: Instruction) -> bool:
    """Whether a vector instruction tells a general register or a flag what lies in a vector or a mask."""
    name = (found.opcode_map, found.opcode)
    if found.encoding is Encoding.EVEX:
        return name in _VECTOR_TO_INTEGER or (name in _EVEX_TO_INTEGER and found.prefix in _SCALAR_PREFIXES)
    return found.encoding is Encoding.VEX and name in _VECTOR_TO_INTEGER | _MASK_TO_INTEGER


def _moved_out(code: bytes, found: Instruction) -> int | None:
    """The general register that an instruction moves an element of a vector to; None if it does not."""
    name = (found.opcode_map, found.opcode)
    if found.encoding is Encoding.LEGACY or name not in _VECTOR_OUT or found.prefix != 1:
        return None
    if not _has_registers_only(code, found):
        return None
    return code[found.modrm - found.start] & 7 | (8 if _extension(code) & _REX_BASE else 0)


def _stores(code: bytes, found: Instruction, register: int) -> bool:
    """Whether an instruction does no more with a general register than to store it."""
    if found.encoding is not Encoding.LEGACY or (found.opcode_map, found.opcode) not in _STORES:
        return False
    if _has_registers_only(code, found):
        return False
    high = any(byte & 0xF4 == _REX | 4 for byte in code[: found.modrm - found.start - 1])
    return code[found.modrm - found.start] >> 3 & 7 | (8 if high else 0) == register


def _has_registers_only(code: bytes, found: Instruction) -> bool:
    return not found.modrm or code[found.modrm - found.start] >> 6 == 3


def _stand_in(code: bytes, found: Instruction) -> bytes:
    """An instruction of the same length, with the same access to memory if there is one."""
    modrm = found.modrm - found.start
    if _has_registers_only(code, found) or (found.opcode_map, found.opcode) in _GATHERS:
        made = _NOTHING
    else:
        made = _read(code, found, modrm)
    return bytes([_PADDING] * (found.length - len(made))) + made


def _read(code: bytes, found: Instruction, modrm: int) -> bytes:
    """A read of 4 bytes at the address of an instruction's operand."""
    mode, register = code[modrm] >> 6, code[modrm] & 7
    index = code[modrm + 1 : modrm + 2] if register == 4 else b""
    displacement = code[modrm + 1 + len(index) : found.operands_end - found.start]
    if mode == 1 and found.encoding is Encoding.EVEX:
        (units,) = struct.unpack("b", displacement)
        mode, displacement = 2, struct.pack("<i", units * _unit(code, found))
    extension = _extension(code)
    rex = bytes([_REX | extension]) if extension else b""
    return rex + bytes([_READ_FLOAT, mode << 6 | _COMPARE << 3 | register]) + index + displacement


def _extension(code: bytes) -> int:
    """The high bits of the registers that an address is made of, as REX has them; VEX and EVEX invert them.

    Raises:
        LookupError: a prefix stands before VEX or EVEX.
    """
    if code[0] == 0xC5:
        return 0
    if code[0] not in (0xC4, 0x62):
        raise LookupError
    return (0 if code[1] & 0x40 else _REX_INDEX) | (0 if code[1] & 0x20 else _REX_BASE)


def _unit(code: bytes, found: Instruction) -> int:
    """What a displacement of 8 bits counts in, in bytes.

    Raises:
        LookupError: the instruction is of a map that is not known here.
    """
    name, scalar = (found.opcode_map, found.opcode), found.prefix in _SCALAR_PREFIXES
    element = 8 if code[2] & 0x80 else 4
    if found.opcode_map > 3:
        raise LookupError
    if name in _UNITS:
        return _UNITS[name]
    if name in _MOVED_QUADWORD:
        return 8 if scalar else element
    if name in _MOVED_HALVES and not scalar:
        return 8
    if scalar and name in _SCALARS:
        return 8 if found.prefix == 3 else 4
    if name in _ELEMENTS or (scalar and name in _FROM_INTEGER) or code[3] & 0x10:
        return element
    vector = 16 << (code[3] >> 5 & 3)
    if name == _DUPLICATED and found.prefix == 3 and vector == 16:
        return 8
    return vector // _part(found, element)


def _part(found: Instruction, element: int) -> int:
    """How many times larger the vector is than what lies in memory."""
    name, opcode, prefix = (found.opcode_map, found.opcode), found.opcode, found.prefix
    if name in {(2, 0x13), (3, 0x1D)} and prefix == 1:
        return 2
    rows = (0x10, 0x20, 0x30) if prefix == 2 else (0x20, 0x30)
    if found.opcode_map == 2 and prefix in (1, 2) and opcode & 0xF0 in rows:
        return _NARROW.get(opcode & 0xF, 1)
    halves = {
        (1, 0x5A): (0,),
        (1, 0xE6): (2,),
        (1, 0x78): (1,),
        (1, 0x79): (1,),
        (1, 0x7A): (1, 2),
        (1, 0x7B): (1,),
    }
    return 2 if element == 4 and prefix in halves.get(name, ()) else 1
