"""Errors about targets and their datasheets: EC05xx."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

UNKNOWN_TARGET = ErrorCode(
    code="EC0501",
    title="unknown target",
    status=ExitStatus.USAGE,
    explanation="A target is the name of one of edgec's datasheets, or the path of your own (a TOML file).",
    remedy="List the names with `edgec targets list`, or give the path of your file with its .toml ending.",
)

UNREADABLE_DATASHEET = ErrorCode(
    code="EC0502",
    title="the target's datasheet cannot be read",
    status=ExitStatus.USAGE,
    explanation="The file of the target does not exist, may not be read, or is not TOML.",
    remedy="Mend the file at the line shown, or give another path.",
)

INVALID_DATASHEET = ErrorCode(
    code="EC0503",
    title="the target's datasheet breaks its schema",
    status=ExitStatus.USAGE,
    explanation=(
        "A datasheet names every number's value, basis and source, and has no keys beyond its schema: a misspelt key "
        "would otherwise be a number that silently does not count."
    ),
    remedy="Correct each key that the message lists; `edgec targets show raspberry-pi-4` prints a complete example.",
)

UNKNOWN_MACHINE = ErrorCode(
    code="EC0504",
    title="this machine cannot be described",
    status=ExitStatus.UNSUPPORTED,
    explanation=(
        "The target `host` reads the machine's processor from the operating system. That works on Linux on x86-64, "
        "aarch64 and riscv64 processors only."
    ),
    remedy="Choose a named target, or copy the nearest datasheet and describe this machine in it.",
)

WRONG_ARCHITECTURE = ErrorCode(
    code="EC0505",
    title="the tool chain made code for another machine",
    status=ExitStatus.UNSUPPORTED,
    explanation=(
        "`edgec targets validate` compiled a network of one operator, and the produced file's header names another "
        "machine, word size or floating-point convention than the target's triple."
    ),
    remedy="Correct triple, link_triple, features and float_abi in the target's [compiler] section.",
)
