"""EC0655 to EC0657: boards."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

BAD_DEVICE = ErrorCode(
    "EC0655",
    "the device is not understood",
    ExitStatus.USAGE,
    "A device is a board that is reached by ssh: its user, its name or address, and perhaps a port; or a kind of "
    "boards that a TVM RPC tracker lends: the tracker's name or address, perhaps a port, and the key of the kind.",
    "Write ssh://user@board, ssh://user@board:2222 or rpc://tracker:9190/key.",
)

BOARD_UNREACHABLE = ErrorCode(
    "EC0656",
    "the board cannot be reached",
    ExitStatus.TOOL_MISSING,
    "ssh could not connect or log in; or the tracker of a farm does not answer, knows no such board, or has none free "
    "in time. edgec never asks for a password: the key of ssh must be in an agent, in ssh's configuration, or in the "
    "configuration that EDGEC_SSH_CONFIG names.",
    "Try `ssh USER@BOARD true` in a terminal; it must work without a question. Ask a farm what it has by "
    "`python -m tvm.exec.query_rpc_tracker`.",
)

BOARD_FAILED = ErrorCode(
    "EC0657",
    "the board did not do what it was asked",
    ExitStatus.UNSUPPORTED,
    "The connection works, but a command on the board failed or took too long: its processor or its system may not be "
    "the target's, or its disk is full.",
    "Check that the target describes the board, and that the board's /tmp has room and may run programs.",
)
