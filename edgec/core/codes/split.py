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
NOT_A_SPLIT = ErrorCode(
    "EC1203",
    "the folder holds no split network",
    ExitStatus.USAGE,
    "A split network is a folder with `split.json`, the artefact of the head, and the ONNX file of the tail.",
    "Name a folder that `edgec split build` wrote.",
)
SERVER_UNREACHABLE = ErrorCode(
    "EC1204",
    "the server gave no answer",
    ExitStatus.TOOL_MISSING,
    "The server of the tail cannot be reached, refused the request, or took longer than the time-out, and the split "
    "network holds no local network to fall back on.",
    "Check address, port, token and certificate; build with `--local` to have the whole network on the device as well.",
)
LISTEN_FAILED = ErrorCode(
    "EC1205",
    "the server cannot listen",
    ExitStatus.USAGE,
    "The address or port is taken or not allowed, a certificate cannot be read, or a server would be open to the "
    "network without a token.",
    "Choose another port; give --token-file, and --certificate with --key, to listen beyond this machine.",
)
NO_CUT = ErrorCode(
    "EC1206",
    "there is no such place to cut the model",
    ExitStatus.USAGE,
    "A split network needs tensors that every path from the inputs to the outputs goes through. Networks whose first "
    "layers all feed later ones have none; a bottleneck makes one.",
    "Name the tensors with --cut; `edgec analyze MODEL --split` lists the places.",
)
BAD_ADDRESS = ErrorCode(
    "EC1207",
    "this is no address of a server",
    ExitStatus.USAGE,
    "A server is named by its host and port, such as `192.168.1.7:9000`.",
    "Write HOST:PORT, with the port that `edgec split serve` printed.",
)
BAD_LINK = ErrorCode(
    "EC1208",
    "this is no link",
    ExitStatus.USAGE,
    "A link is wifi, lte or lora, or its throughput in megabits (1e6 bits) per second.",
    "Write for instance --link wifi or --link 2.5.",
)
