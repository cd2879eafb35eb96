"""EC04xx: backends."""

from edgec.core.errors import ErrorCode, ExitStatus

UNSUPPORTED_NODES = ErrorCode(
    "EC0401",
    "the backend cannot lower some nodes",
    ExitStatus.UNSUPPORTED,
    "Every node of the model must become code for the target. The nodes listed have an operator, an attribute or a"
    " shape that this backend has no code for. Nothing is built, because a model with holes is no model.",
    "Replace these nodes in the network, cut the model before them, fix its input shapes with --shape, or choose a"
    " target with another backend.",
)
CODE_GENERATION_FAILED = ErrorCode(
    "EC0402",
    "the code generator failed on a kernel",
    ExitStatus.INTERNAL,
    "The node was accepted, but TVM or LLVM could not turn it into machine code. This is a bug in edgec.",
    "Report it with the model, or with the node's operator, attributes and shapes.",
)
BAD_TUNING_DATABASE = ErrorCode(
    "EC0404",
    "the tuning database is damaged",
    ExitStatus.USAGE,
    "A tuning database has one record of a measurement a line, as `edgec build --tune` writes it. This file cannot be"
    " read, has lines that are something else, or asks for what the core cannot do.",
    "Take the file as it was before, or remove the lines that are named; what they held is measured again.",
)
NOT_TUNABLE = ErrorCode(
    "EC0405",
    "this build cannot be tuned",
    ExitStatus.UNSUPPORTED,
    "Tuning measures kernels on the device, on a board of its kind, or by counting instructions in its emulator. There"
    " is none of these, or the backend of the target has nothing to choose by measurement.",
    "Name boards with --board, install the emulator that the target names, or build without --tune.",
)

NO_KERNELS = ErrorCode(
    "EC0406",
    "the target does not compute by kernels",
    ExitStatus.UNSUPPORTED,
    "Networks are predicted and cut layer by layer on targets that run one kernel after another; an FPGA or an ASIC "
    "computes all layers at once.",
    "Choose a target whose backend is tvm; see `edgec targets list`.",
)

NO_THREADS = ErrorCode(
    "EC0407",
    "the target has no threads to offer",
    ExitStatus.UNSUPPORTED,
    "Several threads need those of an operating system, and a C library to start them with. Bare metal has neither, and"
    " the tool chain comes without Apple's. Graphics processors and circuits divide the work by themselves.",
    "Build with --threads 1.",
)
